// SPDX-License-Identifier: BSD-3-Clause
// Hears ASAP_SERVER_ANNOUNCE on multicast UDP (RFC 5352 §3.6).
#pragma once

#include <array>
#include <asio/io_context.hpp>
#include <asio/ip/udp.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/rserpool/ip_address.h"
#include "controlplane/rserpool/result.h"

namespace poolgate::agent {

struct AnnounceGroup {
  rserpool::IpAddress address;
  uint16_t port = 0;
  bool operator==(const AnnounceGroup&) const = default;
};

// "224.0.1.185:3863" or "[ff05::133]:3863"; without a port: 3863.
Result<AnnounceGroup> parse_group(std::string_view text);
std::string to_text(const std::vector<AnnounceGroup>& groups);
// IANA's group (RFC 5352 §8.4), and the one that RSPLIB's registrar announces to.
std::vector<AnnounceGroup> default_groups();

class AnnounceListener {
 public:
  using Heard =
      std::function<void(std::string_view datagram, const rserpool::IpAddress& source, uint16_t port)>;

  AnnounceListener(asio::io_context& io, Heard heard) : io_(io), heard_(std::move(heard)), again_(io) {}
  ~AnnounceListener();
  AnnounceListener(const AnnounceListener&) = delete;
  AnnounceListener& operator=(const AnnounceListener&) = delete;

  // Joins the groups on every interface that can multicast, those that come later included.
  std::optional<Error> open(const std::vector<AnnounceGroup>& groups);

 private:
  struct Group;
  void join_all();
  void hear(const std::shared_ptr<Group>& group);

  asio::io_context& io_;
  Heard heard_;
  asio::steady_timer again_;
  std::vector<std::shared_ptr<Group>> groups_;
};

}  // namespace poolgate::agent
