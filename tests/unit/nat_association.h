// SPDX-License-Identifier: BSD-3-Clause
// An association through `nat`, of a multihomed client and a multihomed PE.
#pragma once

#include "tests/unit/redirect_rig.h"

namespace poolgate::test::nat_association {

using redirect::DropReason;

inline const IpAddress kVip = ip("192.0.2.1"), kVip2 = ip("192.0.2.2"), kVip6 = ip("2001:db8::1");
inline const IpAddress kC1 = ip("203.0.113.1"), kC2 = ip("198.18.0.1"), kC3 = ip("198.18.0.2"),
                       kC6 = ip("2001:db8:c::1");
inline const IpAddress kP1 = ip("10.0.0.21"), kP2 = ip("10.1.0.21"), kP3 = ip("10.2.0.21"),
                       kP6 = ip("fd00::15");
inline const IpAddress kS1 = ip("198.51.100.77"), kS2 = ip("198.51.100.78");
inline constexpr uint16_t kClientPort = 40001, kVipPort = 3868, kPePort = 5001;
inline constexpr uint32_t kTp = 0xbb, kTc = 0xaa;

inline Bytes addresses(const std::vector<IpAddress>& list) {
  Bytes b;
  for (const auto& a : list) add(b, address_parameter(a));
  return b;
}
inline Bytes chunks_of(const Frame& f) { return slice(f.transport(), 12, f.ip_payload() - 12); }

class NatAssociation : public ::testing::Test {
 protected:
  void begin(const std::vector<IpAddress>& vips, const std::vector<IpAddress>& snat = {},
             const std::vector<const char*>& further = {}) {
    auto& s = rig.service(config::Protocol::sctp, config::Mode::nat);
    s.vips = vips;
    s.snat = snat;
    rig.set_pool({{21, "10.0.0.21", kPePort, 1, channel::PeState::up, further}});
    rig.start();
  }
  Frame only(const Bytes& frame) {
    auto got = rig.send(frame);
    EXPECT_EQ(got.size(), 1u);
    if (got.size() != 1) return {0, sctp({kC1, kVip, 1, 1}, 0, {})};
    EXPECT_TRUE(got[0].checksums_right());
    EXPECT_EQ(got[0].bytes.size(), got[0].l4() + got[0].ip_payload());
    return got[0];
  }
  Frame from_client(const IpAddress& c, const IpAddress& v, uint32_t tag, const Bytes& chunks) {
    return only(sctp({c, v, kClientPort, kVipPort}, tag, chunks));
  }
  Frame from_pe(const IpAddress& p, const IpAddress& to, uint32_t tag, const Bytes& chunks) {
    return only(sctp({p, to, kPePort, pe_sees_port}, tag, chunks));
  }
  // Client address, as the PE sees it, and the PE's: where a packet from c to v comes out, and its answer.
  void expect_path(const IpAddress& c, const IpAddress& v, const IpAddress& s, const IpAddress& p) {
    for (const Bytes& chunks : {chunk(4, 0, parameter(1, Bytes(20, 0x33))), data_chunk("payload")}) {
      const Frame there = from_client(c, v, kTp, chunks);
      EXPECT_EQ(there.from(), s);
      EXPECT_EQ(there.to(), p);
      EXPECT_EQ(there.from_port(), pe_sees_port);
      EXPECT_EQ(there.to_port(), kPePort);
      EXPECT_EQ(chunks_of(there), chunks);
      const Frame back = from_pe(p, s, kTc, chunks);
      EXPECT_EQ(back.from(), v);
      EXPECT_EQ(back.to(), c);
      EXPECT_EQ(back.from_port(), kVipPort);
      EXPECT_EQ(back.to_port(), kClientPort);
      EXPECT_EQ(chunks_of(back), chunks);
    }
  }
  void establish(const Bytes& client_parameters, const Bytes& pe_parameters, const IpAddress& s) {
    const Frame init = from_client(kC1, kVip, 0, init_chunk(kTc, client_parameters));
    pe_sees_port = static_cast<uint16_t>(init.from_port());
    init_seen = chunks_of(init);
    init_ack_seen = chunks_of(from_pe(kP1, s, kTc, init_chunk(kTp, pe_parameters, 2)));
    from_client(kC1, kVip, kTp, cookie_echo());
    from_pe(kP1, s, kTc, chunk(11, 0, {}));
  }

  Rig rig;
  uint16_t pe_sees_port = kClientPort;
  Bytes init_seen, init_ack_seen;
};

}  // namespace poolgate::test::nat_association
