// SPDX-License-Identifier: BSD-3-Clause
// Where a packet belongs: a service, our own SCTP endpoint, SNAT's way back, or the kernel.
#include "dataplane/redirect/classify.h"

#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::Destination;
using redirect::PacketInfo;

class Classify : public ::testing::Test {
 protected:
  Classify() {
    rig.service(config::Protocol::sctp).name = "diameter";
    auto& dns = rig.service(config::Protocol::udp, config::Mode::nat);
    dns.name = "dns";
    dns.port = 53;
    dns.snat = {ip("198.51.100.77")};
    rig.config.sctp.udp_encapsulation_port = 9899;
    rig.own = {ip("198.51.100.1"), ip("192.0.2.1")};  // one is a VIP, too
    rig.start();
  }
  redirect::Classified at(const Bytes& frame) const {
    PacketInfo info;
    EXPECT_TRUE(redirect::parse(frame.data(), frame.size(), frame.size(), info));
    return rig.services->classify(frame.data(), info);
  }
  static Flow to(const char* address, uint16_t port) {
    return {ip(ip(address).is_v6() ? "2001:db8:c::1" : "203.0.113.1"), ip(address), 40000, port};
  }
  Rig rig;
};

TEST_F(Classify, a_service_is_its_vip_protocol_and_port) {
  for (const char* vip : {"192.0.2.1", "2001:db8::1"}) {
    const auto service = at(sctp(to(vip, 3868), 1, data_chunk()));
    EXPECT_EQ(service.destination, Destination::service);
    EXPECT_EQ(rig.services->service(service.service)->settings.name, "diameter");
    EXPECT_EQ(at(udp(to(vip, 53), "q")).destination, Destination::service);
  }
  EXPECT_EQ(at(udp(to("192.0.2.2", 53), "q")).destination, Destination::exception);
}

TEST_F(Classify, another_port_of_a_service_address_and_protocol_is_nobodys) {
  EXPECT_EQ(at(sctp(to("192.0.2.1", 3869), 1, data_chunk())).destination, Destination::service_no_port);
  EXPECT_EQ(at(udp(to("2001:db8::1", 54), "q")).destination, Destination::service_no_port);
  EXPECT_EQ(at(tcp(to("192.0.2.1", 22), kSyn, 1, 1)).destination, Destination::exception)
      << "no TCP service there";
}

TEST_F(Classify, our_sctp_is_the_endpoints_whatever_the_port_and_over_udp_too) {
  EXPECT_EQ(at(sctp(to("198.51.100.1", 3863), 1, data_chunk())).destination, Destination::endpoint);
  EXPECT_EQ(at(sctp(to("198.51.100.1", 777), 1, data_chunk())).destination, Destination::endpoint);
  EXPECT_EQ(at(udp(to("198.51.100.1", 9899), "q")).destination, Destination::endpoint);
  EXPECT_EQ(at(udp(to("198.51.100.1", 53), "q")).destination, Destination::exception);
}

TEST_F(Classify, an_address_that_is_ours_and_a_services_keeps_both_their_ports) {
  EXPECT_EQ(at(sctp(to("192.0.2.1", 3863), 1, data_chunk())).destination, Destination::endpoint);
  EXPECT_EQ(at(sctp(to("192.0.2.1", 9901), 1, data_chunk())).destination, Destination::endpoint);
  EXPECT_EQ(at(sctp(to("192.0.2.1", 3868), 1, data_chunk())).destination, Destination::service);
}

TEST_F(Classify, a_snat_address_is_ours_for_its_protocol_only) {
  EXPECT_EQ(at(udp(to("198.51.100.77", 1234), "a")).destination, Destination::nat_return);
  EXPECT_EQ(at(tcp(to("198.51.100.77", 1234), kSyn, 1, 1)).destination, Destination::exception);
}

TEST_F(Classify, RFC_5881_4_BFD_to_us_is_the_probers_where_one_speaks_it) {
  const Bytes to_us = udp(to("198.51.100.1", 3784), "q");
  EXPECT_EQ(at(to_us).destination, Destination::exception);
  rig.config.services[0].probe.how = config::ProbeKind::bfd;
  const auto table = redirect::ServiceTable::build(rig.config, rig.own, *rig.pools, rig.services.get(), 1);
  ASSERT_TRUE(table.ok());
  PacketInfo info;
  ASSERT_TRUE(redirect::parse(to_us.data(), to_us.size(), to_us.size(), info));
  EXPECT_EQ((*table)->classify(to_us.data(), info).destination, Destination::endpoint);
}

TEST_F(Classify, a_service_keeps_its_number_over_a_reload) {
  const auto before = rig.services->find("dns")->index;
  rig.config.services.erase(rig.config.services.begin());
  auto table = redirect::ServiceTable::build(rig.config, rig.own, *rig.pools, rig.services.get(), 1);
  ASSERT_TRUE(table.ok());
  EXPECT_EQ((*table)->find("dns")->index, before);
  EXPECT_EQ((*table)->find("diameter"), nullptr);
  EXPECT_EQ((*table)->service(rig.services->find("diameter")->index), nullptr);
}

TEST_F(Classify, a_tunnel_asks_for_the_services_port_and_not_for_a_pe_on_link) {
  for (const auto mode : {config::Mode::ipip, config::Mode::gue}) {
    rig.config.services[0].mode = mode;
    const auto table = redirect::ServiceTable::build(rig.config, rig.own, *rig.pools, nullptr, 1);
    ASSERT_TRUE(table.ok()) << table.error().text;
    const redirect::ServiceEntry& service = (*table)->services()[0];
    EXPECT_EQ(service.eligibility_v4.port, rig.config.services[0].port);
    EXPECT_FALSE(service.eligibility_v4.on_link);
    EXPECT_EQ(service.eligibility_v4, service.eligibility_v6);  // either family carries both
  }
}

TEST_F(Classify, a_drain_is_kept_over_a_reload) {
  const auto drained = rig.services->with_drain("dns", true);
  ASSERT_NE(drained, nullptr);
  auto table = redirect::ServiceTable::build(rig.config, rig.own, *rig.pools, drained.get(), 1);
  ASSERT_TRUE(table.ok());
  EXPECT_TRUE((*table)->find("dns")->drained);
  EXPECT_FALSE((*table)->find("diameter")->drained);
  EXPECT_EQ(rig.services->with_drain("nobody", true), nullptr);
}

}  // namespace
}  // namespace poolgate::test
