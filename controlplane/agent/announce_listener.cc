// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/announce_listener.h"

#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>

#include "controlplane/agent/text.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "controlplane/transport/multicast.h"
#include "controlplane/transport/sctp_socket.h"

namespace poolgate::agent {

using asio::ip::udp;
using rserpool::IpAddress;

namespace {

constexpr auto kLookAgain = std::chrono::seconds(5);  // for interfaces that have come up

bool is_multicast(const IpAddress& address) {
  return address.is_v4() ? (address.data()[0] & 0xf0) == 0xe0 : address.data()[0] == 0xff;
}

IpAddress from_asio(const asio::ip::address& a) {
  return a.is_v4() ? IpAddress::v4(a.to_v4().to_bytes().data()) : IpAddress::v6(a.to_v6().to_bytes().data());
}

std::set<unsigned> multicast_interfaces() {
  std::set<unsigned> out;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return out;
  for (const ifaddrs* i = all; i; i = i->ifa_next) {
    const bool usable = (i->ifa_flags & IFF_UP) != 0 && (i->ifa_flags & (IFF_MULTICAST | IFF_LOOPBACK)) != 0;
    if (const unsigned index = usable ? ::if_nametoindex(i->ifa_name) : 0) out.insert(index);
  }
  ::freeifaddrs(all);
  return out;
}

}  // namespace

Result<AnnounceGroup> parse_group(std::string_view text) {
  const auto parsed = parse_registrar(text);
  if (!parsed || parsed->addresses.size() != 1 || !is_multicast(parsed->addresses[0]))
    return Error{std::string(text) + ": not a multicast GROUP:PORT such as 224.0.1.185:3863"};
  return AnnounceGroup{parsed->addresses[0], parsed->port};
}

std::string to_text(const std::vector<AnnounceGroup>& groups) {
  std::string out;
  for (const auto& group : groups)
    out += (out.empty() ? "" : ", ") +
           to_text(rserpool::endpoint::ServerAddress{false, {group.address}, group.port});
  return out;
}

std::vector<AnnounceGroup> default_groups() {
  return {{*IpAddress::parse("224.0.1.185"), rserpool::wire::kAsapPort},
          {*IpAddress::parse("239.0.0.50"), rserpool::wire::kAsapPort}};
}

struct AnnounceListener::Group {
  Group(asio::io_context& io, const AnnounceGroup& what) : group(what), socket(io) {}
  AnnounceGroup group;
  udp::socket socket;
  udp::endpoint from;
  std::set<unsigned> joined;
  bool open = true;
  std::array<char, 65536> datagram;
};

AnnounceListener::~AnnounceListener() {
  for (const auto& group : groups_) {
    group->open = false;
    asio::error_code ignored;
    group->socket.close(ignored);
  }
}

std::optional<Error> AnnounceListener::open(const std::vector<AnnounceGroup>& groups) {
  for (const auto& wanted : groups) {
    auto group = std::make_shared<Group>(io_, wanted);
    if (const auto error = transport::open_group(group->socket, wanted.address, wanted.port))
      return Error{"announcements of " + to_text({wanted}) + ": " + error.message()};
    groups_.push_back(group);
    hear(group);
  }
  join_all();
  return std::nullopt;
}

void AnnounceListener::join_all() {
  const auto interfaces = multicast_interfaces();
  for (const auto& group : groups_) {
    // An interface that went has taken its membership with it.
    std::erase_if(group->joined, [&](unsigned i) { return !interfaces.contains(i); });
    for (const unsigned interface : interfaces)
      if (!group->joined.contains(interface) &&
          transport::join_group(group->socket, group->group.address, interface))
        group->joined.insert(interface);
  }
  again_.expires_after(kLookAgain);
  again_.async_wait([this](asio::error_code ec) {
    if (!ec) join_all();
  });
}

void AnnounceListener::hear(const std::shared_ptr<Group>& group) {
  group->socket.async_receive_from(asio::buffer(group->datagram), group->from,
                                   [this, group](asio::error_code ec, size_t n) {
                                     if (!group->open || ec == asio::error::operation_aborted) return;
                                     if (!ec)
                                       heard_(std::string_view(group->datagram.data(), n),
                                              from_asio(group->from.address()), group->from.port());
                                     hear(group);
                                   });
}

}  // namespace poolgate::agent
