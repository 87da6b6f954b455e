// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "controlplane/config/toml_table.h"

namespace poolgate::config {

// What one table cannot say of itself: names that clash, services that meet at one (VIP, protocol, port),
// cores used twice, ports that SCTP needs. `root` is the parsed file, for the lines.
void check(const Config& config, const toml::table& root, ErrorList& errors);
// Of that: addresses that two have, or nobody.
void check_addresses(const Config& config, const toml::table& root, ErrorList& errors);

// Where the i-th [[key]] of a table begins.
toml::source_region place(const toml::table& table, std::string_view key, size_t i);

}  // namespace poolgate::config
