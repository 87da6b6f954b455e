// SPDX-License-Identifier: BSD-3-Clause
// The services of a running data plane: published, reloaded, drained.
#include <rte_rcu_qsbr.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "controlplane/config/dataplane_needs.h"
#include "dataplane/worker/appliance.h"
#include "drivers/route_table.h"

namespace poolgate::worker {

using rserpool::IpAddress;

namespace {

pool::ResolutionSettings resolutions_of(const config::Config& config) {
  pool::ResolutionSettings settings;
  for (const config::PoolSettings& pool : config.pools)
    if (pool.answer_on_worker.value_or(false)) settings.pools.push_back(pool.handle);
  settings.max_items = config.registrar.max_items;
  settings.peer_message_rate = config.registrar.peer_message_rate;
  return settings;
}

// What a reload leaves as it runs.
std::string takes_a_restart(const config::Config& runs, const config::Config& read) {
  std::string keys;
  const auto compare = [&](const char* key, const auto& old_value, const auto& new_value) {
    if (!(old_value == new_value)) keys += (keys.empty() ? "" : ", ") + std::string(key);
  };
  compare("general.name", runs.general.name, read.general.name);
  compare("general.run_dir", runs.general.run_dir, read.general.run_dir);
  compare("[dataplane]", runs.dataplane, read.dataplane);
  compare("[[port]]", runs.ports, read.ports);
  compare("[sctp]", runs.sctp, read.sctp);
  return keys;
}

}  // namespace

Result<bool> Appliance::publish_services(const config::Config& config) {
  // Before there are services, no worker runs.
  const auto in_use = services_ == nullptr ? snat_in_use() : std::vector<redirect::SnatAddress>{};
  auto built =
      redirect::ServiceTable::build(config, own_addresses_, *pools_, services_.get(), now_us(), in_use);
  if (!built) return built.error();
  const auto retired = services_ == nullptr ? std::vector<redirect::SnatAddress>{} : services_->retired();
  replace_services(std::move(*built));
  say_retired(retired);
  config_.services = config.services;
  failures_->configure(config);
  pools_->answer_resolutions(resolutions_of(config), now_us());
  move_service_addresses(config);
  return true;
}

void Appliance::replace_services(std::unique_ptr<const redirect::ServiceTable> table) {
  for (const auto& worker : workers_) worker->redirector().set_services(table.get());
  if (services_ != nullptr) old_services_.push_back({rte_rcu_qsbr_start(rcu_), std::move(services_)});
  services_ = std::move(table);
}

bool Appliance::set_service_drained(const std::string& name, bool drained) {
  auto table = services_->with_drain(name, drained);
  if (table == nullptr) return false;
  replace_services(std::move(table));
  return true;
}

// Of sessions of a former run.
std::vector<redirect::SnatAddress> Appliance::snat_in_use() const {
  std::set<redirect::SnatAddress> all;
  for (const auto& worker : workers_) {
    const auto its = worker->redirector().snat_in_use();
    all.insert(its.begin(), its.end());
  }
  return {all.begin(), all.end()};
}

// Which SNAT addresses have retired, or are in use or given up, since `before`.
void Appliance::say_retired(const std::vector<redirect::SnatAddress>& before) const {
  const auto& now = services_->retired();
  const auto is_in = [](const auto& list, const redirect::SnatAddress& snat) {
    return std::find(list.begin(), list.end(), snat) != list.end();
  };
  const auto say = [](const redirect::SnatAddress& snat, const char* what) {
    spdlog::info("SNAT address {} ({}): {}", snat.address.to_string(),
                 config::to_string(static_cast<config::Protocol>(snat.protocol)), what);
  };
  for (const auto& snat : now)
    if (!is_in(before, snat))
      say(snat, "of no service any more, ours until the sessions that have it are over");
  const auto has_it = [](const redirect::ServiceEntry& service, const redirect::SnatAddress& snat) {
    const auto& all = service.settings.snat;
    return static_cast<uint8_t>(service.settings.protocol) == snat.protocol &&
           std::find(all.begin(), all.end(), snat.address) != all.end();
  };
  for (const auto& snat : before) {
    if (is_in(now, snat)) continue;
    const auto& services = services_->services();
    const bool again =
        std::any_of(services.begin(), services.end(), [&](const auto& s) { return has_it(s, snat); });
    say(snat, again ? "a service's again" : "kept for former sessions no longer");
  }
  if (services_->retired_lost() > 0)
    spdlog::warn("{} more SNAT addresses of former configurations: sessions that have them hear no more",
                 services_->retired_lost());
}

void Appliance::look_at_retired_snat() {
  const auto retired = services_->retired();
  if (retired.empty()) return;
  std::vector<bool> in_use(retired.size());
  for (const auto& worker : workers_)
    if (!worker->redirector().retired_in_use(*services_, in_use)) return;
  if (std::find(in_use.begin(), in_use.end(), false) == in_use.end()) return;
  replace_services(services_->with_retired(in_use));
  say_retired(retired);
  move_service_addresses(config_);
}

// VIPs and SNAT addresses are the kernel's, too, so that it answers ARP and neighbour solicitations for them.
void Appliance::move_service_addresses(const config::Config& config) {
  std::map<IpAddress, size_t> wanted;
  for (const config::Service& service : config.services) {
    for (const IpAddress& vip : service.vips) wanted[vip] = tap_for(vip);
    for (const IpAddress& snat : service.snat) wanted[snat] = tap_for(snat);
  }
  for (const redirect::SnatAddress& snat : services_->retired()) wanted[snat.address] = tap_for(snat.address);
  for (const config::Port& port : config_.ports)
    for (const config::Prefix& own : port.addresses) wanted.erase(own.address);
  auto& twins = exceptions_ != nullptr ? exceptions_->twins() : twins_;
  const auto length = [](const IpAddress& address) { return static_cast<uint8_t>(address.size() * 8); };
  const auto say = [](const Result<bool>& done) {
    if (!done) spdlog::error("{}", done.error().text);
  };
  for (const auto& [address, tap] : service_addresses_)
    if (!wanted.contains(address)) say(twins[tap].tap.remove_address(address, length(address)));
  for (const auto& [address, tap] : wanted)
    if (!service_addresses_.contains(address)) say(twins[tap].tap.add_address(address, length(address)));
  service_addresses_ = std::move(wanted);
}

// What a former run with another configuration left on the TAPs: they outlive it.
void Appliance::remove_former_addresses() {
  auto& twins = exceptions_->twins();
  for (size_t i = 0; i < twins.size(); ++i) {
    const auto own = twins[i].tap.own_addresses();
    if (!own) {
      spdlog::error("{}", own.error().text);
      continue;
    }
    const auto& addresses = config_.ports[i].addresses;
    for (const config::Prefix& left : *own) {
      const auto service = service_addresses_.find(left.address);
      if (service != service_addresses_.end() && service->second == i) continue;
      if (std::any_of(addresses.begin(), addresses.end(), [&](const config::Prefix& port) {
            return port.address == left.address && port.length == left.length;
          }))
        continue;
      spdlog::info("TAP {}: {} is no longer configured: removed", twins[i].tap.name(), left.to_string());
      if (auto done = twins[i].tap.remove_address(left.address, left.length); !done)
        spdlog::error("{}", done.error().text);
    }
  }
}

// The kernel gets these; what a former configuration left, in this run or another, goes.
Result<bool> Appliance::move_routes(const std::vector<config::Route>& routes) {
  auto& twins = exceptions_ != nullptr ? exceptions_->twins() : twins_;
  Result<bool> result = true;
  for (const config::Route& route : routes)
    if (auto added = twins[tap_for(route.gateway)].tap.add_route(route); !added) result = added.error();
  for (size_t i = 0; i < twins.size(); ++i) {
    const auto own = twins[i].tap.own_routes();
    if (!own) return own.error();
    for (const config::Prefix& left : *own) {
      if (std::any_of(routes.begin(), routes.end(), [&](const config::Route& route) {
            return tap_for(route.gateway) == i && route.destination.length == left.length &&
                   drivers::masked(route.destination.address, left.length) == left.address;
          }))
        continue;
      spdlog::info("TAP {}: the route to {} is no longer configured: removed", twins[i].tap.name(),
                   left.to_string());
      if (auto done = twins[i].tap.remove_route(left); !done) result = done.error();
    }
  }
  return result;
}

// Ours, and so never a peer's path, even if its INIT lists them: a PE has the VIP on its loopback.
std::vector<IpAddress> Appliance::never_paths(const config::Config& config) const {
  std::vector<IpAddress> ours;
  for (const LocalAddress& local : local_) ours.push_back(local.address);
  for (const config::Service& service : config.services)
    ours.insert(ours.end(), service.vips.begin(), service.vips.end());
  return ours;
}

void Appliance::free_old_services() {
  std::erase_if(old_services_,
                [this](const OldServices& old) { return rte_rcu_qsbr_check(rcu_, old.token, false) == 1; });
}

Result<bool> Appliance::reload() {
  auto read = config::load(config_.file);
  if (!read) return read.error();
  if (auto suits = config::suits_what_runs(*read, config_); !suits) return suits.error();
  if (auto published = publish_services(*read); !published) return published.error();
  config_.routes = read->routes;
  if (auto moved = move_routes(config_.routes); !moved) spdlog::error("{}", moved.error().text);
  channel_->set_never_paths(never_paths(*read));
  config_.general.log_level = read->general.log_level;
  spdlog::set_level(spdlog::level::from_str(config_.general.log_level));
  if (const std::string keys = takes_a_restart(config_, *read); !keys.empty())
    spdlog::warn("{}: {} changed: takes a restart", config_.file, keys);
  spdlog::info("{}: read again, {} service(s)", config_.file, read->services.size());
  return true;
}

}  // namespace poolgate::worker
