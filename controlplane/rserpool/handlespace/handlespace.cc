// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/handlespace/handlespace.h"

#include "controlplane/rserpool/policy/random.h"

namespace poolgate::rserpool {

std::optional<Cause> RegisterOutcome::cause() const {
  switch (status) {
    case RegisterStatus::added:
    case RegisterStatus::updated:
      return std::nullopt;
    case RegisterStatus::policy_differs:
      return Cause::inconsistent_pooling_policy;
    case RegisterStatus::transport_type_differs:
      return Cause::inconsistent_transport_type;
    case RegisterStatus::transport_use_differs:
      return Cause::inconsistent_data_control_configuration;
    case RegisterStatus::handle_empty:
      return Cause::invalid_values;
    case RegisterStatus::handle_too_long:
    case RegisterStatus::too_many_pools:
    case RegisterStatus::too_many_elements:
    case RegisterStatus::too_many_elements_in_pool:
      return Cause::lack_of_resources;
  }
  return Cause::unspecified;
}

std::string_view describe(RegisterStatus status) {
  switch (status) {
    case RegisterStatus::added:
      return "added";
    case RegisterStatus::updated:
      return "updated";
    case RegisterStatus::policy_differs:
      return "its policy is not the pool's";
    case RegisterStatus::transport_type_differs:
      return "its transport type is not the pool's";
    case RegisterStatus::transport_use_differs:
      return "its data/control configuration is not the pool's";
    case RegisterStatus::handle_too_long:
      return "the pool handle is longer than configured";
    case RegisterStatus::handle_empty:
      return "the pool handle is empty";
    case RegisterStatus::too_many_pools:
      return "there are as many pools as configured";
    case RegisterStatus::too_many_elements:
      return "there are as many pool elements as configured";
    case RegisterStatus::too_many_elements_in_pool:
      return "there are as many elements in the pool as configured";
  }
  return "unknown";
}

Handlespace::Handlespace(const HandlespaceOptions& options)
    : options_(options), next_registration_(options.first_registration) {}

Handlespace::~Handlespace() = default;

void Handlespace::set_limits(const HandlespaceOptions& options) {
  options_.max_pools = options.max_pools;
  options_.max_elements = options.max_elements;
  options_.max_elements_per_pool = options.max_elements_per_pool;
  options_.max_handle_length = options.max_handle_length;
}

RegisterStatus Handlespace::check(PoolIndex number, const PoolElement& element) const {
  const Pool& pool = pools_[number];
  if (element.policy.type != pool.selector.type()) return RegisterStatus::policy_differs;
  if (element.user_transport.type != pool.transport_type) return RegisterStatus::transport_type_differs;
  if (element.user_transport.use != pool.transport_use) return RegisterStatus::transport_use_differs;
  return RegisterStatus::added;
}

RegisterOutcome Handlespace::register_or_update(PoolHandleView handle, const PoolElement& element,
                                                const AssociationKey& association, TimeMs expires) {
  RegisterOutcome outcome;
  const uint64_t hash = hash_handle(handle, options_.seed);
  outcome.pool = table_.find(pools_, handle, hash);
  if (outcome.pool != kNoPool) {
    outcome.status = check(outcome.pool, element);
    if (!outcome.ok()) return outcome;
    outcome.pe = find(outcome.pool, element.id);
  }

  if (outcome.pe == kNoPe) {
    const auto refuse = [&outcome](RegisterStatus why) {
      outcome.status = why;
      return outcome;
    };
    if (handle.empty()) return refuse(RegisterStatus::handle_empty);
    if (handle.size() > options_.max_handle_length) return refuse(RegisterStatus::handle_too_long);
    if (elements_ >= options_.max_elements) return refuse(RegisterStatus::too_many_elements);
    if (outcome.pool == kNoPool) {
      if (pools() >= options_.max_pools) return refuse(RegisterStatus::too_many_pools);
      outcome.pool = make_pool(handle, hash, element);
      outcome.new_pool = true;
    } else if (size(outcome.pool) >= options_.max_elements_per_pool) {
      return refuse(RegisterStatus::too_many_elements_in_pool);
    }
    Pool& pool = pools_[outcome.pool];
    outcome.pe = records_.allocate();
    PeRecord& record = records_[outcome.pe];
    record.id = element.id;
    record.pool = outcome.pool;
    record.slot = pool.selector.add({element.id, next_registration_++, element.policy, outcome.pe});
    pool.by_id.insert(element.id, outcome.pe);
    ++elements_;
    join_owner(outcome.pe, element.home);
    join_association(outcome.pe, association);
  } else {
    outcome.status = RegisterStatus::updated;
    const PeRecord& record = records_[outcome.pe];
    outcome.previous_home = record.home;
    pools_[outcome.pool].selector.update(record.slot, next_registration_++, element.policy);
    change_owner(outcome.pe, element.home);
    set_association(outcome.pe, association);
  }

  PeRecord& record = records_[outcome.pe];
  record.registration_life = element.registration_life;
  record.user_transport.set(element.user_transport);
  record.has_asap_transport = element.has_asap_transport;
  if (element.has_asap_transport) record.asap_transport.set(element.asap_transport);
  if (!element.policy_data.empty() && element.policy_data.size() <= kMaxPolicyData) {
    policy_data_[outcome.pe] = element.policy_data;
  } else if (!policy_data_.empty()) {
    policy_data_.erase(outcome.pe);
  }
  set_timer(outcome.pe, PeTimer::expiry, expires);
  return outcome;
}

void Handlespace::restore_registration(PeIndex pe, uint32_t registration) {
  const PeRecord& record = records_[pe];
  pools_[record.pool].selector.update(record.slot, registration, settings(pe));
  if (registration >= next_registration_) next_registration_ = registration + 1;
}

void Handlespace::deregister(PeIndex pe) {
  PeRecord& record = records_[pe];
  set_timer(pe, PeTimer::expiry, kNever);
  set_timer(pe, PeTimer::probe, kNever);
  leave_owner(pe);
  leave_association(pe);
  if (!policy_data_.empty()) policy_data_.erase(pe);
  const PoolIndex number = record.pool;
  Pool& pool = pools_[number];
  pool.selector.remove(record.slot);
  pool.by_id.erase(record.id);
  records_.release(pe);
  --elements_;
  if (pool.selector.size() == 0) drop_pool(number);
}

PoolIndex Handlespace::make_pool(PoolHandleView handle, uint64_t hash, const PoolElement& element) {
  const PoolIndex number = pools_.allocate();
  Pool& pool = pools_[number];
  pool.handle = handle;
  pool.hash = hash;
  pool.words = handle_words(handle);
  pool.transport_type = element.user_transport.type;
  pool.transport_use = element.user_transport.use;
  pool.selector = Selector(element.policy.type, mix64(hash ^ options_.seed));
  table_.insert(pools_, number);
  by_handle_.emplace(pool.handle, number);
  return number;
}

void Handlespace::drop_pool(PoolIndex number) {
  table_.erase(pools_, number);
  by_handle_.erase(pools_[number].handle);
  pools_.release(number);
}

PoolIndex Handlespace::find_pool(PoolHandleView handle) const {
  return table_.find(pools_, handle, hash_handle(handle, options_.seed));
}

PeIndex Handlespace::find(PoolIndex pool, PeId id) const {
  const PeIndex* found = pools_[pool].by_id.find(id);
  return found == nullptr ? kNoPe : *found;
}

PeIndex Handlespace::find(PoolHandleView handle, PeId id) const {
  const PoolIndex pool = find_pool(handle);
  return pool == kNoPool ? kNoPe : find(pool, id);
}

std::string_view Handlespace::policy_data(PeIndex pe) const {
  if (policy_data_.empty()) return {};
  const auto found = policy_data_.find(pe);
  return found == policy_data_.end() ? std::string_view() : found->second;
}

void Handlespace::read(PeIndex pe, PoolElement& out, bool with_asap_transport) const {
  const PeRecord& record = records_[pe];
  out.id = record.id;
  out.home = record.home;
  out.registration_life = record.registration_life;
  out.policy = settings(pe);
  out.policy_data = policy_data(pe);
  record.user_transport.get(out.user_transport);
  out.has_asap_transport = with_asap_transport && record.has_asap_transport;
  if (out.has_asap_transport) {
    record.asap_transport.get(out.asap_transport);
  } else {
    out.asap_transport.addresses.clear();
    out.asap_transport.port = 0;
  }
}

size_t Handlespace::resolve(PoolIndex number, std::span<PeIndex> out) {
  Pool& pool = pools_[number];
  const size_t n = pool.selector.select(out);
  pool.selector.to_items(out.first(n));
  return n;
}

size_t Handlespace::resolve(PoolHandleView handle, std::span<PeIndex> out) {
  const PoolIndex pool = find_pool(handle);
  return pool == kNoPool ? 0 : resolve(pool, out);
}

void Handlespace::set_asap_transport(PeIndex pe, const Transport& transport) {
  records_[pe].asap_transport.set(transport);
  records_[pe].has_asap_transport = true;
}

void Handlespace::set_timer(PeIndex pe, PeTimer timer, TimeMs due) {
  const auto which = static_cast<size_t>(timer);
  const auto nodes = [this, which](uint32_t index) -> DeadlineNode& { return records_[index].timers[which]; };
  deadlines_[which].set(nodes, pe, due);
}

PeIndex Handlespace::take_due(PeTimer timer, TimeMs now) {
  const auto which = static_cast<size_t>(timer);
  const auto nodes = [this, which](uint32_t index) -> DeadlineNode& { return records_[index].timers[which]; };
  return deadlines_[which].take_due(nodes, now);
}

}  // namespace poolgate::rserpool
