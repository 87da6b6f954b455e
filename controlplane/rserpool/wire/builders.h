// SPDX-License-Identifier: BSD-3-Clause
// Messages with many pool elements, built one by one until the message is full.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/rserpool/types.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "controlplane/rserpool/wire/writer.h"

namespace poolgate::rserpool::wire {

// How many of a pool's PEs a resolution is given (RFC 5352 §2.2.6). `items`: what its option 0x803f asks for
// (conformance §13.1); `max_items`: the configured number for those without; 0: all that fit.
size_t resolution_items(std::optional<uint32_t> items, uint32_t max_items, size_t pool_size);

// HANDLE_RESOLUTION_RESPONSE, positive (RFC 5352 §2.2.6). ASAP Transports are left out: they are ENRP's.
class ResolutionResponseBuilder {
 public:
  // Replaces `out`, which must outlive the builder. `limit`: bytes of the whole message. `unknown_data`: of a
  // policy that we do not know.
  ResolutionResponseBuilder(std::string& out, PoolHandleView handle, const PolicySettings& policy,
                            bool updates_accepted, size_t limit = kMaxMessageLength,
                            std::string_view unknown_data = {});
  // False: it does not fit, and the message is as before.
  [[nodiscard]] bool append(const PoolElement& element);
  // The same of a Pool Element encoded before: pool_element_parameter(element, AsapTransport::omit).
  [[nodiscard]] bool append(std::string_view element_parameter);
  size_t count() const { return count_; }
  // Completes `out`. False, and `out` empty, if not even the handle fits.
  [[nodiscard]] bool finish();

 private:
  Writer writer_;
  size_t count_ = 0;
};

// One chunk of HANDLE_TABLE_RESPONSE (RFC 5353 §2.3): the handle is written when it changes and at the
// chunk's start.
class TableResponseBuilder {
 public:
  TableResponseBuilder(std::string& out, ServerId sender, ServerId receiver,
                       size_t limit = kMaxMessageLength);
  [[nodiscard]] bool append(PoolHandleView handle, const PoolElement& element);
  size_t count() const { return count_; }
  [[nodiscard]] bool finish(bool more);

 private:
  Writer writer_;
  PoolHandle handle_;
  size_t count_ = 0;
};

}  // namespace poolgate::rserpool::wire
