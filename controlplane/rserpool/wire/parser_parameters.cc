// SPDX-License-Identifier: BSD-3-Clause
// The parameters that several messages hold: RFC 5354 §3.1-3.10, §3.12, §3.14, §3.16.
#include <algorithm>

#include "controlplane/rserpool/wire/parameters.h"
#include "controlplane/rserpool/wire/parser.h"
#include "controlplane/rserpool/wire/policy_layout.h"

namespace poolgate::rserpool::wire {

// RFC 5354 §3.1, §3.2.
bool Parser::address(const Tlv& tlv, IpAddress& out) {
  const std::string_view value = tlv.value();
  if (value.size() != (tlv.type == param::kIpv4Address ? 4u : 16u))
    return invalid(Rule::parameter_value, tlv);
  out = tlv.type == param::kIpv4Address ? IpAddress::v4(value.data()) : IpAddress::v6(value.data());
  return true;
}

bool Parser::addresses(const Tlv& parent, size_t skip, size_t most, std::vector<IpAddress>& out) {
  out.reserve(std::min((parent.value().size() - skip) / 8, most));
  const bool ok = nested(parent, skip, [&](const Tlv& tlv) {
    if (tlv.type != param::kIpv4Address && tlv.type != param::kIpv6Address) return other(tlv);
    if (out.size() == most) return invalid(Rule::parameter_value, parent);
    return address(tlv, out.emplace_back());
  });
  if (!ok) return false;
  return !out.empty() || invalid(Rule::parameter_value, parent);
}

// RFC 5354 §3.3-3.7, §3.16.
bool Parser::transport(const Tlv& tlv, Transport& out) {
  const std::string_view value = tlv.value();
  out.type = static_cast<TransportType>(tlv.type);
  if (out.type == TransportType::opaque) {
    out.opaque = value;
    return true;
  }
  const size_t fields = out.type == TransportType::dccp ? 8 : 4;
  if (value.size() < fields) return invalid(Rule::parameter_length, tlv);
  out.port = load16(value.data());
  if (out.type == TransportType::dccp) out.dccp_service_code = load32(value.data() + 4);
  if (out.type == TransportType::sctp) {
    const uint16_t use = load16(value.data() + 2);
    if (use > static_cast<uint16_t>(TransportUse::data_plus_control))
      return invalid(Rule::parameter_value, tlv);
    out.use = static_cast<TransportUse>(use);
  }
  return addresses(tlv, fields, out.type == TransportType::sctp ? kMaxTransportAddresses : 1, out.addresses);
}

// RFC 5354 §3.8, RFC 5356. A type that we do not know keeps its bytes.
bool Parser::policy(const Tlv& tlv, PolicySettings& out, std::string& unknown_data) {
  const std::string_view value = tlv.value();
  if (value.size() < 4) return invalid(Rule::parameter_length, tlv);
  out.type = static_cast<PolicyType>(load32(value.data()));
  if (!is_valid_policy(out.type)) return invalid(Rule::parameter_value, tlv);
  const PolicyLayout* layout = policy_layout(out.type);
  if (layout == nullptr) {
    unknown_data = value.substr(4);
    return true;
  }
  if (value.size() != 4 + 4 * layout->count) return invalid(Rule::parameter_value, tlv);
  for (size_t i = 0; i < layout->count; ++i) out.*layout->fields[i] = load32(value.data() + 4 + 4 * i);
  return true;
}

// RFC 5354 §3.10. The first transport is the user's, a second one ASAP's.
bool Parser::pool_element(const Tlv& tlv, PoolElement& out) {
  constexpr size_t kFields = 12;
  const std::string_view value = tlv.value();
  if (value.size() < kFields) return invalid(Rule::parameter_length, tlv);
  out.id = load32(value.data());
  out.home = load32(value.data() + 4);
  out.registration_life = static_cast<int32_t>(load32(value.data() + 8));
  bool has_user_transport = false;
  bool has_policy = false;
  const bool ok = nested(tlv, kFields, [&](const Tlv& inner) {
    if (param::is_transport(inner.type)) {
      if (!has_user_transport) {
        has_user_transport = true;
        return transport(inner, out.user_transport);
      }
      if (out.has_asap_transport || inner.type != param::kSctpTransport) {
        return invalid(Rule::parameter_unexpected, inner);
      }
      out.has_asap_transport = true;
      return transport(inner, out.asap_transport);
    }
    if (inner.type != param::kMemberSelectionPolicy || has_policy) return other(inner);
    has_policy = true;
    return policy(inner, out.policy, out.policy_data);
  });
  if (!ok) return false;
  if (!has_user_transport) return missing(param::kSctpTransport, &tlv);
  return has_policy || missing(param::kMemberSelectionPolicy, &tlv);
}

// RFC 5354 §3.9.
bool Parser::pool_handle(const Tlv& tlv, std::optional<PoolHandleView>& out) {
  if (out) return invalid(Rule::parameter_unexpected, tlv);
  out = tlv.value();
  return true;
}

// RFC 5354 §3.14.
bool Parser::pe_identifier(const Tlv& tlv, std::optional<PeId>& out) {
  if (out) return invalid(Rule::parameter_unexpected, tlv);
  if (tlv.value().size() != 4) return invalid(Rule::parameter_value, tlv);
  out = load32(tlv.value().data());
  return true;
}

// RFC 5354 §3.12: causes have the shape of parameters, their codes are numbers of their own. Any code is
// kept.
bool Parser::operation_error(const Tlv& tlv, std::vector<ErrorCause>& out) {
  return nested(tlv, 0, [&](const Tlv& cause) {
    out.push_back({static_cast<Cause>(cause.type), std::string(cause.value())});
    return true;
  });
}

// RFC 5352 §2.2.14, RFC 5353 §2.10.
bool Parser::only_operation_errors(std::vector<ErrorCause>& out) {
  bool has_error = false;
  const bool ok = parameters([&](const Tlv& tlv) {
    if (tlv.type != param::kOperationError) return other(tlv);
    has_error = true;
    return operation_error(tlv, out);
  });
  return ok && (has_error || missing(param::kOperationError));
}

}  // namespace poolgate::rserpool::wire
