// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/resolution.h"

#include "controlplane/rserpool/wire/builders.h"

namespace poolgate::registrar {

namespace asap = rserpool::asap;
using rserpool::Cause;

void Resolution::refuse(const Request& request, rserpool::PoolHandleView handle, Cause cause) {
  ++context_.counters.resolutions_unknown;
  asap::HandleResolutionResponse response;
  response.handle = handle;
  response.causes = {{cause, ""}};
  std::string bytes;
  if (asap::encode(asap::Message(response), bytes)) answer(context_, request, std::move(bytes));
}

void Resolution::handle(const Request& request, const asap::HandleResolution& message) {
  const rserpool::PoolIndex pool = context_.space.find_pool(message.handle);
  if (pool == rserpool::kNoPool) {
    refuse(request, message.handle, Cause::unknown_pool_handle);
    return;
  }
  selected_.resize(rserpool::wire::resolution_items(message.items, context_.settings.registrar.max_items,
                                                    context_.space.size(pool)));
  const size_t n = context_.space.resolve(pool, selected_);
  if (n == 0) {
    // All of them say that they can serve nobody (weight 0): a positive response would have to name one.
    refuse(request, message.handle, Cause::lack_of_resources);
    return;
  }
  // Updates are for the life of an association (§2.2.5): a TCP connection gets none.
  const bool updates = message.subscribe && !request.over_tcp() &&
                       subscriptions_.subscribe(*request.association, message.handle);
  std::string bytes;
  rserpool::wire::ResolutionResponseBuilder builder(
      bytes, message.handle, context_.space.settings(selected_[0]), updates,
      rserpool::wire::kMaxMessageLength, context_.space.policy_data(selected_[0]));
  for (size_t i = 0; i < n; ++i) {
    context_.space.read(selected_[i], element_, false);
    if (!builder.append(element_)) break;
  }
  if (!builder.finish()) return;
  ++context_.counters.resolutions;
  answer(context_, request, std::move(bytes));
}

}  // namespace poolgate::registrar
