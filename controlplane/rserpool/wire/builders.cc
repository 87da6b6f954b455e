// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/wire/builders.h"

#include <algorithm>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/enrp.h"
#include "controlplane/rserpool/wire/parameters.h"

namespace poolgate::rserpool::wire {

namespace {

// Senders of the option take no more (conformance §13.1).
constexpr uint32_t kMostByOption = 128;
// The shortest Pool Element: 16 fixed, 16 of an IPv4 transport, 8 of RR. More never fit a message.
constexpr size_t kMostByLength = 65535 / 40;

}  // namespace

size_t resolution_items(std::optional<uint32_t> items, uint32_t max_items, size_t pool_size) {
  size_t most = max_items == 0 ? kMostByLength : max_items;
  if (items && *items != 0) most = std::min(*items, kMostByOption);
  return std::min({most, pool_size, kMostByLength});
}

ResolutionResponseBuilder::ResolutionResponseBuilder(std::string& out, PoolHandleView handle,
                                                     const PolicySettings& policy, bool updates_accepted,
                                                     size_t limit, std::string_view unknown_data)
    : writer_(out, limit) {
  writer_.begin_message(static_cast<uint8_t>(asap::Type::handle_resolution_response), updates_accepted);
  write_pool_handle(writer_, handle);
  write_policy(writer_, policy, unknown_data);
}

bool ResolutionResponseBuilder::append(const PoolElement& element) {
  if (writer_.overflowed()) return false;
  const auto before = writer_.mark();
  write_pool_element(writer_, element, AsapTransport::omit);
  if (writer_.overflowed()) {
    writer_.rewind(before);
    return false;
  }
  ++count_;
  return true;
}

bool ResolutionResponseBuilder::append(std::string_view element_parameter) {
  if (writer_.overflowed()) return false;
  const auto before = writer_.mark();
  writer_.parameter(element_parameter);
  if (writer_.overflowed()) {
    writer_.rewind(before);
    return false;
  }
  ++count_;
  return true;
}

bool ResolutionResponseBuilder::finish() { return writer_.end_message() != 0; }

TableResponseBuilder::TableResponseBuilder(std::string& out, ServerId sender, ServerId receiver, size_t limit)
    : writer_(out, limit) {
  writer_.begin_message(static_cast<uint8_t>(enrp::Type::handle_table_response), 0);
  writer_.u32(sender);
  writer_.u32(receiver);
}

bool TableResponseBuilder::append(PoolHandleView handle, const PoolElement& element) {
  if (writer_.overflowed()) return false;
  const auto before = writer_.mark();
  const bool new_handle = count_ == 0 || handle != handle_;
  if (new_handle) write_pool_handle(writer_, handle);
  write_pool_element(writer_, element, AsapTransport::include);
  if (writer_.overflowed()) {
    writer_.rewind(before);
    return false;
  }
  if (new_handle) handle_ = handle;
  ++count_;
  return true;
}

bool TableResponseBuilder::finish(bool more) {
  writer_.set_flags(more ? 2 : 0);
  return writer_.end_message() != 0;
}

}  // namespace poolgate::rserpool::wire
