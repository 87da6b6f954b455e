// SPDX-License-Identifier: BSD-3-Clause
// Generations for the resolutions that a worker answers.
#include "controlplane/rserpool/handlespace/handle_table.h"
#include "controlplane/rserpool/policy/random.h"
#include "controlplane/rserpool/wire/parameters.h"
#include "dataplane/pool/pool_model.h"

namespace poolgate::pool {
namespace {

// RFC 5354 §3.10, as RFC 5352 §2.2.6 has it in responses.
std::string parameter_of(const channel::PoolPe& pe) {
  rserpool::PoolElement element;
  element.id = pe.id;
  element.home = pe.home;
  element.registration_life = pe.registration_life;
  element.user_transport = pe.transport;
  element.policy = pe.policy;
  return rserpool::wire::pool_element_parameter(element, rserpool::wire::AsapTransport::omit);
}

}  // namespace

void PoolTable::answer_resolutions(const ResolutionSettings& settings, uint64_t now_us) {
  std::unique_ptr<ResolutionDirectory> directory;
  if (!settings.pools.empty()) {
    directory = std::make_unique<ResolutionDirectory>();
    directory->max_items = settings.max_items;
    directory->peer_message_rate = settings.peer_message_rate;
  }
  for (const rserpool::PoolHandle& handle : settings.pools) {
    Pool& p = pool(handle);
    if (p.resolution == nullptr) {
      p.resolution = std::make_unique<ResolutionCell>();
      p.resolution->number = resolution_cells_++;
      p.published_us = now_us;
      p.resolution->generation.store(build_resolution(p).release(), std::memory_order_release);
    }
    directory->pools.emplace(handle, p.resolution.get());
  }
  retire(std::unique_ptr<const ResolutionDirectory>(
      resolutions_.exchange(directory.release(), std::memory_order_acq_rel)));
}

std::unique_ptr<ResolutionGeneration> PoolTable::build_resolution(const Pool& pool) {
  auto generation = std::make_unique<ResolutionGeneration>(options_.stacks);
  generation->number = ++number_;
  std::vector<rserpool::SelectorElement> elements;
  for (const auto& [id, element] : pool.elements) {
    if (element.found_dead || element.pe.state != channel::PeState::up ||
        element.operator_state != OperatorState::up)
      continue;
    const PeSlotIndex slot = element.v4.slot != kNoPeSlot ? element.v4.slot : element.v6.slot;
    generation->elements.push_back({parameter_of(element.pe), slot});
    elements.push_back({id, element.pe.registration, element.pe.policy});
  }
  // As the handlespace seeds its pools: a test gives both one seed, and both make the same random picks.
  const uint64_t seed =
      rserpool::mix64(rserpool::hash_handle(pool.handle, options_.random_seed) ^ options_.random_seed);
  for (unsigned stack = 0; stack < options_.stacks; ++stack)
    generation->selectors[stack].store(
        new rserpool::Selector(pool.policy, stack == 0 ? seed : rserpool::mix64(seed + stack), elements),
        std::memory_order_release);
  return generation;
}

}  // namespace poolgate::pool
