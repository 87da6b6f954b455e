// SPDX-License-Identifier: BSD-3-Clause
// What the parsers of ASAP and ENRP messages share: the common header, unknown types, and the parameters they
// have in common (RFC 5354 §3-4). Functions return false when the message is to be discarded; `error` says
// why.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "controlplane/rserpool/types.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "controlplane/rserpool/wire/parse_error.h"
#include "controlplane/rserpool/wire/tlv.h"

namespace poolgate::rserpool::wire {

class Parser {
 public:
  explicit Parser(std::string_view bytes) : bytes_(bytes) {}

  // RFC 5354 §4. Both conventions for the message's length are accepted (conformance §12.6).
  bool header();
  uint8_t type() const { return type_; }
  uint8_t flags() const { return flags_; }
  // Takes `n` bytes of the message's own fields; null if they are not there.
  const char* fixed(size_t n);
  // RFC 5354 §4: unknown message types.
  bool unknown_message();

  // Calls on(tlv) for each top-level parameter until it returns false.
  template <class OnTlv>
  bool parameters(OnTlv&& on) {
    return each(message_.substr(fixed_), fixed_, nullptr, on);
  }
  template <class OnTlv>
  bool nested(const Tlv& parent, size_t skip, OnTlv&& on) {
    return each(parent.value().substr(skip), parent.offset + 4 + skip, &parent, on);
  }

  // A parameter that has no place where it stands: invalid if RFC 5354 defines it, else by its top bits (§3).
  bool other(const Tlv& tlv);
  // Cause 3 with `tlv`.
  bool invalid(Rule rule, const Tlv& tlv);
  // A field before the parameters with a reserved value: discarded silently.
  bool invalid_field();
  bool missing(uint16_t type, const Tlv* parent = nullptr);

  bool address(const Tlv& tlv, IpAddress& out);
  bool transport(const Tlv& tlv, Transport& out);
  bool policy(const Tlv& tlv, PolicySettings& out, std::string& unknown_data);
  bool pool_element(const Tlv& tlv, PoolElement& out);
  bool pe_identifier(const Tlv& tlv, std::optional<PeId>& out);
  bool pool_handle(const Tlv& tlv, std::optional<PoolHandleView>& out);
  bool operation_error(const Tlv& tlv, std::vector<ErrorCause>& out);
  // The rest of an ERROR message: Operation Errors, at least one.
  bool only_operation_errors(std::vector<ErrorCause>& out);

  // How many parameters of `type` stand at top level, so that a vector is reserved once.
  size_t count(uint16_t type) const;

  ParseError take_error();
  std::vector<std::string_view> take_unrecognized() { return std::move(unrecognized_); }

 private:
  template <class OnTlv>
  bool each(std::string_view container, size_t offset, const Tlv* parent, OnTlv&& on) {
    TlvReader reader(container, offset);
    Tlv tlv;
    for (;;) {
      switch (reader.next(tlv)) {
        case TlvReader::Step::end:
          return true;
        case TlvReader::Step::malformed:
          return malformed(tlv, parent);
        case TlvReader::Step::tlv:
          if (!on(tlv)) return false;
      }
    }
  }
  bool fail(Rule rule, uint16_t parameter, size_t offset, bool report, Cause cause, std::string_view info);
  bool malformed(const Tlv& tlv, const Tlv* parent);
  bool addresses(const Tlv& parent, size_t skip, size_t most, std::vector<IpAddress>& out);
  void salvage();

  std::string_view bytes_;    // as they came
  std::string_view message_;  // without final padding
  uint8_t type_ = 0;
  uint8_t flags_ = 0;
  size_t fixed_ = 4;
  std::vector<std::string_view> unrecognized_;
  ParseError error_;
};

}  // namespace poolgate::rserpool::wire
