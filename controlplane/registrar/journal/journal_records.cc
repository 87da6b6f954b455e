// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/journal/journal_records.h"

#include <utility>

namespace poolgate::registrar {
namespace {

constexpr uint8_t kVersion = 3;  // 2: peers; 3: subscriptions, by the fields of 2

template <class T>
std::string written(const T& value) {
  std::string out;
  out.reserve(192);  // of a PE with an address or two
  out += static_cast<char>(kVersion);
  transport::FieldWriter w(out);
  fields(w, value);
  return out;
}

template <class T>
std::string read_fields(std::string_view bytes, T& into) {
  transport::FieldReader r(bytes, 1);
  fields(r, into);
  if (!r.ok()) return r.error();
  return r.left() == 0 ? std::string() : "has bytes behind its last field";
}

template <class T, class Old>
std::string read(std::string_view bytes, T& into) {
  const int version = bytes.empty() ? 0 : static_cast<uint8_t>(bytes[0]);
  if (version == kVersion || version == 2) return read_fields(bytes, into);
  if (version != 1) return "written by another version of poolgate-registrar";
  Old old{};
  std::string fault = read_fields(bytes, old);
  into = T(std::move(old));
  return fault;
}

}  // namespace

std::string to_bytes(const Identity& identity) { return written(identity); }
std::string to_bytes(const JournalRecord& record) { return written(record); }
std::string read_bytes(std::string_view bytes, Identity& into) {
  return read<Identity, Identity>(bytes, into);
}
std::string read_bytes(std::string_view bytes, JournalRecord& into) {
  return read<JournalRecord, JournalRecordV1>(bytes, into);
}

}  // namespace poolgate::registrar
