// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/netlink_messages.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>

namespace poolgate::drivers {
namespace {

using rserpool::IpAddress;

// What IFA_PROTO says of our addresses, and the protocol of our routes: "P". The kernel's own addresses have
// 1 to 3, IFAPROT_KERNEL_*; the routes of others numbers below 0x40 or above 0xb9 (RTPROT_*).
constexpr uint8_t kOurs = 0x50;

// Calls `visit(type, payload, length)` for each attribute after the fixed header.
template <class Visit>
void each_attribute(const nlmsghdr* message, size_t fixed, Visit visit) {
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, fixed));
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute))
    visit(mnl_attr_get_type(attribute), static_cast<const uint8_t*>(mnl_attr_get_payload(attribute)),
          static_cast<size_t>(mnl_attr_get_payload_len(attribute)));
}

IpAddress address_of(uint8_t family, const uint8_t* bytes, size_t length) {
  if (family == AF_INET && length == 4) return IpAddress::v4(bytes);
  if (family == AF_INET6 && length == 16) return IpAddress::v6(bytes);
  return {};
}

// RTA_VIA: a gateway of another family than the route's (rtnetlink(7), struct rtvia).
IpAddress via_of(const uint8_t* bytes, size_t length) {
  uint16_t family = 0;
  if (length < sizeof family) return {};
  std::memcpy(&family, bytes, sizeof family);
  return address_of(static_cast<uint8_t>(family), bytes + sizeof family, length - sizeof family);
}

uint32_t word_of(const uint8_t* bytes, size_t length) {
  uint32_t word = 0;
  if (length >= sizeof word) std::memcpy(&word, bytes, sizeof word);
  return word;
}

void parse_multipath(uint8_t family, const uint8_t* bytes, size_t length, std::vector<RouteHop>& hops) {
  while (length >= sizeof(rtnexthop)) {
    rtnexthop next;
    std::memcpy(&next, bytes, sizeof next);
    if (next.rtnh_len < sizeof next || next.rtnh_len > length) return;
    RouteHop hop{{}, static_cast<uint32_t>(next.rtnh_ifindex)};
    size_t at = sizeof next;
    while (at + sizeof(nlattr) <= next.rtnh_len) {
      nlattr attribute;
      std::memcpy(&attribute, bytes + at, sizeof attribute);
      if (attribute.nla_len < sizeof attribute || at + attribute.nla_len > next.rtnh_len) break;
      const uint8_t* payload = bytes + at + sizeof attribute;
      const size_t size = attribute.nla_len - sizeof attribute;
      if ((attribute.nla_type & NLA_TYPE_MASK) == RTA_GATEWAY)
        hop.gateway = address_of(family, payload, size);
      if ((attribute.nla_type & NLA_TYPE_MASK) == RTA_VIA) hop.gateway = via_of(payload, size);
      at += NLA_ALIGN(attribute.nla_len);
    }
    if ((next.rtnh_flags & RTNH_F_DEAD) == 0) hops.push_back(hop);
    const size_t step = RTNH_ALIGN(next.rtnh_len);
    if (step >= length) return;
    bytes += step;
    length -= step;
  }
}

uint16_t route_mtu(const uint8_t* bytes, size_t length) {
  size_t at = 0;
  while (at + sizeof(nlattr) <= length) {
    nlattr attribute;
    std::memcpy(&attribute, bytes + at, sizeof attribute);
    if (attribute.nla_len < sizeof attribute || at + attribute.nla_len > length) return 0;
    if ((attribute.nla_type & NLA_TYPE_MASK) == RTAX_MTU) {
      const uint32_t mtu = word_of(bytes + at + sizeof attribute, attribute.nla_len - sizeof attribute);
      return mtu > UINT16_MAX ? UINT16_MAX : static_cast<uint16_t>(mtu);
    }
    at += NLA_ALIGN(attribute.nla_len);
  }
  return 0;
}

template <class Fixed>
Fixed* start(NetlinkBuffer& buffer, uint16_t type, uint16_t flags, uint32_t sequence) {
  buffer.fill(0);
  nlmsghdr* header = mnl_nlmsg_put_header(buffer.data());
  header->nlmsg_type = type;
  header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  header->nlmsg_seq = sequence;
  return static_cast<Fixed*>(mnl_nlmsg_put_extra_header(header, sizeof(Fixed)));
}

nlmsghdr* header_of(NetlinkBuffer& buffer) { return reinterpret_cast<nlmsghdr*>(buffer.data()); }

uint8_t family_of(const IpAddress& address) { return address.is_v4() ? AF_INET : AF_INET6; }

}  // namespace

std::optional<NeighbourMessage> parse_neighbour(const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWNEIGH && message->nlmsg_type != RTM_DELNEIGH) return std::nullopt;
  if (mnl_nlmsg_get_payload_len(message) < sizeof(ndmsg)) return std::nullopt;
  const auto* fixed = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(message));
  NeighbourMessage parsed;
  parsed.ifindex = static_cast<uint32_t>(fixed->ndm_ifindex);
  parsed.nud = message->nlmsg_type == RTM_DELNEIGH ? 0 : fixed->ndm_state;
  each_attribute(message, sizeof *fixed, [&](uint16_t type, const uint8_t* bytes, size_t length) {
    if (type == NDA_DST) parsed.address = address_of(fixed->ndm_family, bytes, length);
    if (type == NDA_LLADDR && length == ETH_ALEN) std::memcpy(parsed.mac.emplace().data(), bytes, ETH_ALEN);
  });
  if (!parsed.address.is_set()) return std::nullopt;
  return parsed;
}

std::optional<RouteMessage> parse_route(const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE) return std::nullopt;
  if (mnl_nlmsg_get_payload_len(message) < sizeof(rtmsg)) return std::nullopt;
  const auto* fixed = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  const uint8_t family = fixed->rtm_family;
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  const bool refuses = fixed->rtm_type == RTN_UNREACHABLE || fixed->rtm_type == RTN_BLACKHOLE ||
                       fixed->rtm_type == RTN_PROHIBIT;
  if (fixed->rtm_type != RTN_UNICAST && !refuses) return std::nullopt;
  if ((fixed->rtm_flags & RTM_F_CLONED) != 0 || fixed->rtm_src_len != 0) return std::nullopt;
  if (fixed->rtm_dst_len > (family == AF_INET ? 32 : 128)) return std::nullopt;

  RouteMessage parsed;
  parsed.removed = message->nlmsg_type == RTM_DELROUTE;
  parsed.ours = fixed->rtm_protocol == kOurs;
  parsed.replaced = (message->nlmsg_flags & NLM_F_REPLACE) != 0;
  RouteEntry& entry = parsed.entry;
  static constexpr uint8_t kZero[16] = {};
  entry.destination = family == AF_INET ? IpAddress::v4(kZero) : IpAddress::v6(kZero);
  entry.length = fixed->rtm_dst_len;
  entry.table = fixed->rtm_table;
  RouteHop hop;
  each_attribute(message, sizeof *fixed, [&](uint16_t type, const uint8_t* bytes, size_t length) {
    if (type == RTA_DST) {
      if (const IpAddress address = address_of(family, bytes, length); address.is_set())
        entry.destination = address;
    } else if (type == RTA_TABLE) {
      entry.table = word_of(bytes, length);
    } else if (type == RTA_PRIORITY) {
      entry.metric = word_of(bytes, length);
    } else if (type == RTA_OIF) {
      hop.ifindex = word_of(bytes, length);
    } else if (type == RTA_GATEWAY) {
      hop.gateway = address_of(family, bytes, length);
    } else if (type == RTA_VIA) {
      hop.gateway = via_of(bytes, length);
    } else if (type == RTA_MULTIPATH) {
      parse_multipath(family, bytes, length, entry.hops);
    } else if (type == RTA_METRICS) {
      entry.mtu = route_mtu(bytes, length);
    }
  });
  entry.destination = masked(entry.destination, entry.length);
  if (refuses)
    entry.hops.clear();
  else if (hop.ifindex != 0 && (fixed->rtm_flags & RTNH_F_DEAD) == 0)
    entry.hops.push_back(hop);
  return parsed;
}

std::optional<AddressMessage> parse_address(const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(message) < sizeof(ifaddrmsg))
    return std::nullopt;
  const auto* fixed = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(message));
  AddressMessage parsed;
  parsed.ifindex = fixed->ifa_index;
  parsed.length = fixed->ifa_prefixlen;
  IpAddress local;
  each_attribute(message, sizeof *fixed, [&](uint16_t type, const uint8_t* bytes, size_t length) {
    if (type == IFA_LOCAL) local = address_of(fixed->ifa_family, bytes, length);
    if (type == IFA_ADDRESS) parsed.address = address_of(fixed->ifa_family, bytes, length);
    if (type == IFA_PROTO) parsed.ours = length == 1 && bytes[0] == kOurs;
  });
  if (local.is_set()) parsed.address = local;  // IFA_ADDRESS is then the peer's
  if (!parsed.address.is_set()) return std::nullopt;
  return parsed;
}

nlmsghdr* build_neighbour_dump(NetlinkBuffer& buffer, uint32_t sequence) {
  start<ndmsg>(buffer, RTM_GETNEIGH, NLM_F_DUMP, sequence)->ndm_family = AF_UNSPEC;
  return header_of(buffer);
}

nlmsghdr* build_route_dump(NetlinkBuffer& buffer, uint32_t sequence, uint8_t family) {
  start<rtmsg>(buffer, RTM_GETROUTE, NLM_F_DUMP, sequence)->rtm_family = family;
  return header_of(buffer);
}

nlmsghdr* build_address_dump(NetlinkBuffer& buffer, uint32_t sequence) {
  start<ifaddrmsg>(buffer, RTM_GETADDR, NLM_F_DUMP, sequence)->ifa_family = AF_UNSPEC;
  return header_of(buffer);
}

nlmsghdr* build_neighbour_use(NetlinkBuffer& buffer, uint32_t sequence, const NextHopTable::Key& neighbour) {
  auto* fixed = start<ndmsg>(buffer, RTM_NEWNEIGH, NLM_F_CREATE, sequence);
  fixed->ndm_family = family_of(neighbour.address);
  fixed->ndm_ifindex = static_cast<int>(neighbour.ifindex);
  fixed->ndm_flags = NTF_USE;
  mnl_attr_put(header_of(buffer), NDA_DST, neighbour.address.size(), neighbour.address.data());
  return header_of(buffer);
}

nlmsghdr* build_link_up(NetlinkBuffer& buffer, uint32_t ifindex, const MacAddress& mac, uint32_t mtu) {
  auto* fixed = start<ifinfomsg>(buffer, RTM_NEWLINK, 0, 0);
  fixed->ifi_family = AF_UNSPEC;
  fixed->ifi_index = static_cast<int>(ifindex);
  fixed->ifi_flags = IFF_UP;
  fixed->ifi_change = IFF_UP;
  mnl_attr_put(header_of(buffer), IFLA_ADDRESS, mac.size(), mac.data());
  mnl_attr_put_u32(header_of(buffer), IFLA_MTU, mtu);
  return header_of(buffer);
}

nlmsghdr* build_address(NetlinkBuffer& buffer, uint32_t ifindex, const IpAddress& address, uint8_t length,
                        bool add) {
  auto* fixed =
      start<ifaddrmsg>(buffer, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, 0);
  fixed->ifa_family = family_of(address);
  fixed->ifa_prefixlen = length;
  fixed->ifa_index = ifindex;
  if (address.is_v6()) fixed->ifa_flags = IFA_F_NODAD;
  mnl_attr_put(header_of(buffer), IFA_LOCAL, address.size(), address.data());
  mnl_attr_put(header_of(buffer), IFA_ADDRESS, address.size(), address.data());
  if (add) mnl_attr_put_u8(header_of(buffer), IFA_PROTO, kOurs);
  return header_of(buffer);
}

nlmsghdr* build_route(NetlinkBuffer& buffer, uint32_t ifindex, const IpAddress& destination, uint8_t length,
                      const IpAddress& gateway, bool add) {
  auto* fixed =
      start<rtmsg>(buffer, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, 0);
  fixed->rtm_family = family_of(destination);
  fixed->rtm_dst_len = length;
  fixed->rtm_table = RT_TABLE_MAIN;
  fixed->rtm_protocol = kOurs;  // of a route to be removed, too: an operator's is not touched
  fixed->rtm_scope = RT_SCOPE_UNIVERSE;
  fixed->rtm_type = RTN_UNICAST;
  const IpAddress network = masked(destination, length);
  mnl_attr_put(header_of(buffer), RTA_DST, network.size(), network.data());
  if (gateway.family() == destination.family()) {
    mnl_attr_put(header_of(buffer), RTA_GATEWAY, gateway.size(), gateway.data());
  } else if (gateway.is_set()) {
    uint8_t via[2 + 16];
    const uint16_t family = family_of(gateway);
    std::memcpy(via, &family, sizeof family);
    std::memcpy(via + sizeof family, gateway.data(), gateway.size());
    mnl_attr_put(header_of(buffer), RTA_VIA, sizeof family + gateway.size(), via);
  }
  if (ifindex != 0) mnl_attr_put_u32(header_of(buffer), RTA_OIF, ifindex);
  return header_of(buffer);
}

}  // namespace poolgate::drivers
