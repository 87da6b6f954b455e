// SPDX-License-Identifier: BSD-3-Clause
// The journal's records as bytes: of the present version, and of those before it.
#pragma once

#include <string>
#include <string_view>

#include "controlplane/registrar/journal/journal_fields.h"
#include "controlplane/rserpool/result.h"

namespace poolgate::registrar {

// Record types. Bytes begin with the version.
inline constexpr uint8_t kIdentityRecord = 1;
inline constexpr uint8_t kChangeRecord = 2;

std::string to_bytes(const Identity& identity);
std::string to_bytes(const JournalRecord& record);
// What `into` held is gone. Empty: it is read; else what is wrong with the bytes.
std::string read_bytes(std::string_view bytes, Identity& into);
std::string read_bytes(std::string_view bytes, JournalRecord& into);

}  // namespace poolgate::registrar
