// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/wire/parameters.h"

#include "controlplane/rserpool/wire/policy_layout.h"

namespace poolgate::rserpool::wire {

// RFC 5354 §3.1, §3.2.
void write_address(Writer& writer, const IpAddress& address) {
  const auto tlv = writer.begin_tlv(address.is_v4() ? param::kIpv4Address : param::kIpv6Address);
  writer.bytes({reinterpret_cast<const char*>(address.data()), address.size()});
  writer.end_tlv(tlv);
}

// RFC 5354 §3.3-3.7, §3.16.
void write_transport(Writer& writer, const Transport& transport) {
  const auto tlv = writer.begin_tlv(static_cast<uint16_t>(transport.type));
  if (transport.type == TransportType::opaque) {
    writer.bytes(transport.opaque);
  } else {
    writer.u16(transport.port);
    writer.u16(transport.type == TransportType::sctp ? static_cast<uint16_t>(transport.use) : uint16_t{0});
    if (transport.type == TransportType::dccp) writer.u32(transport.dccp_service_code);
    for (const IpAddress& address : transport.addresses) write_address(writer, address);
  }
  writer.end_tlv(tlv);
}

// RFC 5354 §3.8.
void write_policy(Writer& writer, const PolicySettings& policy, std::string_view unknown_data) {
  const auto tlv = writer.begin_tlv(param::kMemberSelectionPolicy);
  writer.u32(static_cast<uint32_t>(policy.type));
  if (const PolicyLayout* layout = policy_layout(policy.type)) {
    for (size_t i = 0; i < layout->count; ++i) writer.u32(policy.*layout->fields[i]);
  } else {
    writer.bytes(unknown_data);
  }
  writer.end_tlv(tlv);
}

// RFC 5354 §3.9.
void write_pool_handle(Writer& writer, PoolHandleView handle) {
  const auto tlv = writer.begin_tlv(param::kPoolHandle);
  writer.bytes(handle);
  writer.end_tlv(tlv);
}

// RFC 5354 §3.14.
void write_pe_identifier(Writer& writer, PeId id) {
  const auto tlv = writer.begin_tlv(param::kPeIdentifier);
  writer.u32(id);
  writer.end_tlv(tlv);
}

// RFC 5354 §3.10.
void write_pool_element(Writer& writer, const PoolElement& element, AsapTransport asap_transport) {
  const auto tlv = writer.begin_tlv(param::kPoolElement);
  writer.u32(element.id);
  writer.u32(element.home);
  writer.u32(static_cast<uint32_t>(element.registration_life));
  write_transport(writer, element.user_transport);
  write_policy(writer, element.policy, element.policy_data);
  if (element.has_asap_transport && asap_transport == AsapTransport::include) {
    write_transport(writer, element.asap_transport);
  }
  writer.end_tlv(tlv);
}

// RFC 5354 §3.12.
void write_operation_error(Writer& writer, const std::vector<ErrorCause>& causes) {
  const auto tlv = writer.begin_tlv(param::kOperationError);
  for (const ErrorCause& cause : causes) {
    const auto inner = writer.begin_tlv(static_cast<uint16_t>(cause.code));
    writer.bytes(cause.info);
    writer.end_tlv(inner);
  }
  writer.end_tlv(tlv);
}

namespace {

// A parameter of its own, by way of a message whose header is cut off.
template <class Write>
std::string parameter(Write&& write) {
  std::string out;
  Writer writer(out);
  writer.begin_message(0, 0);
  write(writer);
  const size_t length = writer.mark().position;
  if (writer.end_message() == 0) return {};
  return out.substr(4, length - 4);
}

}  // namespace

std::string transport_parameter(const Transport& transport) {
  return parameter([&](Writer& writer) { write_transport(writer, transport); });
}

std::string policy_parameter(const PolicySettings& policy, std::string_view unknown_data) {
  return parameter([&](Writer& writer) { write_policy(writer, policy, unknown_data); });
}

std::string pool_handle_parameter(PoolHandleView handle) {
  return parameter([&](Writer& writer) { write_pool_handle(writer, handle); });
}

std::string pool_element_parameter(const PoolElement& element, AsapTransport asap_transport) {
  return parameter([&](Writer& writer) { write_pool_element(writer, element, asap_transport); });
}

}  // namespace poolgate::rserpool::wire
