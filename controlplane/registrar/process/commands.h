// SPDX-License-Identifier: BSD-3-Clause
// What poolgate-cli asks the registrar: "show registrar [json]", "show registrar pool all|HANDLE [json]",
// "show pool all|HANDLE [json]", "show counters [json]", "help".
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "controlplane/registrar/core/registrar.h"
#include "controlplane/rserpool/result.h"

namespace poolgate::registrar {

// What the process knows beside the core; a JSON object of plain values, shown in this order.
using Facts = nlohmann::ordered_json;

// Pools beyond this many PEs are cut in the answer, and say so.
inline constexpr size_t kMaxShown = 20'000;

Result<std::string> run_command(std::string_view line, const Registrar& core, Micros now, const Facts& facts);

}  // namespace poolgate::registrar
