// SPDX-License-Identifier: BSD-3-Clause
// What people write on the agent's command line, and what they read from it.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/rserpool/endpoint/outputs.h"
#include "controlplane/rserpool/result.h"
#include "controlplane/rserpool/types.h"

namespace poolgate::agent {

// "30s", "500ms", "5m", "2h"; a bare number is seconds.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// "192.0.2.1:3863,192.0.2.2" or "[2001:db8::1]:3863,2001:db8::2": one registrar of several addresses. Without
// a port: 3863.
Result<rserpool::endpoint::ServerAddress> parse_registrar(std::string_view text);
// "rr", "wrr:3", "prio:10", "lu", "lud:20%:5%", any of RFC 5356's and RSPLIB's names; loads as "20%" or
// "0.2".
Result<rserpool::PolicySettings> parse_policy(std::string_view text);
// "37%" or "0.37": as the wire has it, 0xffffffff is 100 %.
Result<uint32_t> parse_load(std::string_view text);
// "0x1234abcd" or decimal, not 0.
Result<rserpool::PeId> parse_pe_id(std::string_view text);

std::string to_text(const rserpool::endpoint::ServerAddress& address);
std::string to_text(const rserpool::PolicySettings& policy);
std::string addresses(const rserpool::Transport& transport);  // "10.0.0.1:80, 10.1.0.1:80"
std::string to_text(const std::vector<rserpool::ErrorCause>& causes);
// In quotes; bytes that are not printable as by rserpool::printable().
std::string json_string(std::string_view text);

}  // namespace poolgate::agent
