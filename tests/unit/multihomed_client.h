// SPDX-License-Identifier: BSD-3-Clause
// Clients of a service of several workers, and one whose addresses are at home with different ones.
#pragma once

#include <unistd.h>

#include "tests/unit/workers_rig.h"

namespace poolgate::test::workers {

inline constexpr uint32_t kTp = 0x0a0b0c0d, kTc = 0x01020304;

inline Flow client(unsigned n = 1, const char* vip = "192.0.2.1") {
  return {ip(("203.0.113." + std::to_string(n)).c_str()), ip(vip), static_cast<uint16_t>(40000 + n), 3868};
}

inline std::unique_ptr<WorkersRig> make(unsigned workers, config::Protocol protocol = config::Protocol::sctp,
                                        const std::function<void(WorkersRig&)>& change = {}) {
  auto made = std::make_unique<WorkersRig>(
      workers, protocol == config::Protocol::sctp  ? rserpool::TransportType::sctp
               : protocol == config::Protocol::tcp ? rserpool::TransportType::tcp
                                                   : rserpool::TransportType::udp);
  made->rig.service(protocol);
  if (change) change(*made);
  made->rig.set_pool({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}, {13, "10.0.0.13", 3868}});
  made->start();
  return made;
}

// Of three workers, in files that the next WorkersRig finds, too.
class WorkerFiles {
 public:
  explicit WorkerFiles(const char* name)
      : base_("/dev/shm/poolgate-unit-" + std::string(name) + "-" + std::to_string(getpid()) + "-") {}
  ~WorkerFiles() {
    for (const char* name : {"elements", "sessions-0", "sessions-1", "sessions-2", "sessions-clients-0",
                             "sessions-clients-1", "sessions-clients-2"})
      unlink((base_ + name).c_str());
  }
  void give(WorkersRig& r) const {
    pool::PoolTableOptions options;
    options.resolve = [](const IpAddress& a) { return pool::Route{a.data()[a.size() - 1], true}; };
    options.max_elements = 64;
    options.workers = 3;
    options.slot_file = base_ + "elements";
    r.rig.pools.reset();
    r.rig.pools = std::move(*pool::PoolTable::create(options));
    r.session_files = base_ + "sessions-";
  }

 private:
  std::string base_;
};

// A control chunk that asks nothing of a session's state.
inline Bytes heartbeat() { return chunk(4, 0, Bytes(8)); }

// A client with addresses at home with different workers, and its INIT.
struct Multihomed {
  Flow first, second;
  Bytes init(bool by_second = false) const {
    return sctp(by_second ? second : first, 0, init_chunk(kTc, Bytes(parameters())));
  }
  Bytes parameters() const {
    Bytes p = address_parameter(first.from);
    add(p, address_parameter(second.from));
    return p;
  }
};
inline Multihomed multihomed(const WorkersRig& w, unsigned first_home, unsigned second_home) {
  Multihomed m{client(), client()};
  m.first.from = w.address_at(first_home, m.first, "203.0.113.");
  m.second.from = w.address_at(second_home, m.second, "203.0.113.", 100);
  return m;
}

}  // namespace poolgate::test::workers
