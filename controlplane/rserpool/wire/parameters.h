// SPDX-License-Identifier: BSD-3-Clause
// Parameters of RFC 5354 §3 that are of use outside a message: as the information of error causes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controlplane/rserpool/types.h"
#include "controlplane/rserpool/wire/writer.h"

namespace poolgate::rserpool::wire {

// Whether the policy is one that this library has a layout for (conformance §1.7).
bool is_known_policy(PolicyType type);
// 0 and 0x40000000 are no policies (RFC 5356 §7).
bool is_valid_policy(PolicyType type);

enum class AsapTransport : uint8_t { omit, include };

void write_address(Writer& writer, const IpAddress& address);
void write_transport(Writer& writer, const Transport& transport);
void write_policy(Writer& writer, const PolicySettings& policy, std::string_view unknown_data = {});
void write_pool_handle(Writer& writer, PoolHandleView handle);
void write_pe_identifier(Writer& writer, PeId id);
void write_pool_element(Writer& writer, const PoolElement& element, AsapTransport asap_transport);
// All causes in one Operation Error; without any it is empty, as a peer's may be.
void write_operation_error(Writer& writer, const std::vector<ErrorCause>& causes);

// One whole parameter without its padding, as causes quote it; empty if it would not fit a message.
std::string transport_parameter(const Transport& transport);
std::string policy_parameter(const PolicySettings& policy, std::string_view unknown_data = {});
std::string pool_handle_parameter(PoolHandleView handle);
std::string pool_element_parameter(const PoolElement& element,
                                   AsapTransport asap_transport = AsapTransport::include);

}  // namespace poolgate::rserpool::wire
