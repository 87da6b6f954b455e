// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/ip_address.h"

#include <arpa/inet.h>

namespace poolgate::rserpool {

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string copy(text);
  uint8_t bytes[16];
  if (inet_pton(AF_INET, copy.c_str(), bytes) == 1) return v4(bytes);
  if (inet_pton(AF_INET6, copy.c_str(), bytes) == 1) return v6(bytes);
  return std::nullopt;
}

std::string IpAddress::to_string() const {
  if (!is_set()) return "-";
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
  return text;
}

}  // namespace poolgate::rserpool
