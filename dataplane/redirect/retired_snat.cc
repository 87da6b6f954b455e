// SPDX-License-Identifier: BSD-3-Clause
// A reload, or a restart with another configuration, takes an SNAT address from its service. Sessions that
// have it go on, and what returns to them must still find their worker: the address stays ours until the walk
// over every worker's table has come round without one of them.
#include "dataplane/redirect/retired_snat.h"

#include <algorithm>
#include <set>

#include "dataplane/redirect/impl.h"

namespace poolgate::redirect {

using rserpool::IpAddress;

// ---- of the services

std::vector<SnatAddress> ServiceTable::all_snat() const {
  std::vector<SnatAddress> all = retired_;
  for (const ServiceEntry& service : services_) {
    for (const auto& snat : service.settings.snat)
      all.push_back({snat, static_cast<uint8_t>(service.settings.protocol)});
  }
  return all;
}

// Those that are no service's or endpoint's by now. One that is the kernel's (a port's) is that, too.
void ServiceTable::retire(const std::vector<SnatAddress>& candidates, const std::set<IpAddress>& kernels) {
  for (const SnatAddress& snat : candidates) {
    if (lookup(snat.address, snat.protocol, 0) != nullptr) continue;
    if (retired_.size() == kMaxRetired) {
      ++retired_lost_;
      continue;
    }
    insert({snat.address,
            snat.protocol,
            0,
            {Destination::nat_return, kNoService, kernels.contains(snat.address)},
            static_cast<uint16_t>(retired_.size())});
    retired_.push_back(snat);
  }
}

unsigned ServiceTable::retired_index(const SnatAddress& snat) const {
  const Row* row = lookup(snat.address, snat.protocol, 0);
  return row != nullptr ? row->retired : kMaxRetired;
}

std::unique_ptr<ServiceTable> ServiceTable::with_retired(const std::vector<bool>& in_use) const {
  std::unique_ptr<ServiceTable> copy(new ServiceTable(*this));
  copy->index_services();
  copy->retired_.clear();
  copy->retired_lost_ = 0;
  ++copy->retirement_;
  for (Row& row : copy->rows_) {
    if (row.retired == kMaxRetired) continue;
    const size_t was = row.retired;
    if (in_use[was]) {
      row.retired = static_cast<uint16_t>(copy->retired_.size());
      copy->retired_.push_back(retired_[was]);
    } else {  // the row stays where it is, as others are found behind it
      row.retired = kMaxRetired;
      row.result = {};
    }
  }
  return copy;
}

// ---- of a worker

namespace {

// The SNAT address of an entry, if it is the PE's side of a session that has one.
bool snat_of(const session::SessionTable& sessions, SessionIndex i, SnatAddress& snat) {
  const Session& e = sessions.at(i);
  if (e.kind != session::Kind::alias || (e.flags & session::kFromPe) == 0 ||
      (sessions.at(sessions.session_of(i)).flags & session::kSnat) == 0)
    return false;
  const uint8_t* to = sessions.addresses(i) + (e.key.family == 6 ? 16 : 4);
  snat = {e.key.family == 6 ? rserpool::IpAddress::v6(to) : rserpool::IpAddress::v4(to), e.key.protocol};
  return true;
}

}  // namespace

void RetiredInUse::begin(const ServiceTable& services) {
  if (begun_ && services.retirement() == of_) {
    for (size_t i = 0; i < seen_.size(); ++i) published_[i].store(seen_[i], std::memory_order_relaxed);
    retirement_.store(of_, std::memory_order_release);
  }
  begun_ = true;
  of_ = services.retirement();
  seen_.fill(0);
}

bool RetiredInUse::add_to(const ServiceTable& services, std::vector<bool>& in_use) const {
  if (retirement_.load(std::memory_order_acquire) != services.retirement()) return false;
  for (size_t i = 0; i < in_use.size(); ++i) {
    if ((published_[i / 64].load(std::memory_order_relaxed) >> i % 64 & 1) != 0) in_use[i] = true;
  }
  return true;
}

// The walk over the table comes by.
void Redirector::Impl::note_retired(SessionIndex i) {
  SnatAddress snat;
  if (!snat_of(sessions, i, snat)) return;
  const unsigned index = services->retired_index(snat);
  if (index < ServiceTable::kMaxRetired) retired_in_use.see(index);
}

std::vector<SnatAddress> Redirector::snat_in_use() const {
  const session::SessionTable& sessions = impl_->sessions;
  std::set<SnatAddress> all;
  SnatAddress snat;
  for (SessionIndex i = session::kFirst; i < sessions.end(); ++i) {
    if (sessions.valid(i) && snat_of(sessions, i, snat)) all.insert(snat);
  }
  return {all.begin(), all.end()};
}

bool Redirector::retired_in_use(const ServiceTable& services, std::vector<bool>& in_use) const {
  return impl_->retired_in_use.add_to(services, in_use);
}

}  // namespace poolgate::redirect
