// SPDX-License-Identifier: BSD-3-Clause
// A Rig with one service and two PEs, 10.0.0.11 and 10.0.0.12, and its clients.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/redirect_rig.h"

namespace poolgate::test::two_pes {

inline constexpr uint32_t kTp = 0x0a0b0c0d, kTc = 0x01020304, kWrong = 0x77777777;

inline Flow client(unsigned n = 1) {
  return {ip(("203.0.113." + std::to_string(n)).c_str()), ip("192.0.2.1"), static_cast<uint16_t>(40000 + n),
          3868};
}

inline std::unique_ptr<Rig> make(config::Protocol protocol = config::Protocol::sctp,
                                 const std::function<void(Rig&)>& change = {}) {
  auto rig = std::make_unique<Rig>(protocol == config::Protocol::sctp  ? rserpool::TransportType::sctp
                                   : protocol == config::Protocol::tcp ? rserpool::TransportType::tcp
                                                                       : rserpool::TransportType::udp);
  rig->service(protocol);
  if (change) change(*rig);
  rig->set_pool({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}});
  rig->start();
  return rig;
}
inline redirect::SessionView only(const Rig& rig) {
  std::vector<redirect::SessionView> views;
  EXPECT_EQ(rig.redirector->dump_sessions(0, 10, views), 0u);
  EXPECT_EQ(views.size(), 1u);
  return views.empty() ? redirect::SessionView{} : views[0];
}
inline void establish(Rig& rig) {
  rig.send(sctp(client(), 0, init_chunk(kTc)));
  rig.send(sctp(client(), kTp, cookie_echo()));
  ASSERT_STREQ(only(rig).state, "established");
}

}  // namespace poolgate::test::two_pes
