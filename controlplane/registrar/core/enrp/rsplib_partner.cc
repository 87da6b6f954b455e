// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/rsplib_partner.h"

#include <algorithm>

#include "controlplane/registrar/core/associations.h"

namespace poolgate::registrar {

using rserpool::TransportType;

bool Partner::holds(rserpool::PoolHandleView handle, TransportType transport) const {
  if (short_handles && handle.size() > kRsplibHandleLength) return false;
  return !known_transports || transport == TransportType::sctp || transport == TransportType::tcp ||
         transport == TransportType::udp;
}

Partner partner_of(const config::Registrar& settings, rserpool::ServerId id,
                   const std::vector<rserpool::IpAddress>& addresses) {
  for (const config::RsplibRule& rule : settings.rsplib) {
    if (rule.server_id && *rule.server_id != id) continue;
    const auto inside = [&](const rserpool::IpAddress& a) { return rule.source->contains(unmapped(a)); };
    if (rule.source && !std::any_of(addresses.begin(), addresses.end(), inside)) continue;
    return {rule.life_in_milliseconds, rule.smaller_id_wins,  rule.nothing_unsolicited,
            rule.short_handles,        rule.known_transports, rule.checksum_wraps};
  }
  return {};
}

int32_t life_for(const Partner& partner, int32_t life, config::LifeUnit unit) {
  const bool kept_in_ms = unit == config::LifeUnit::milliseconds;
  if (life == rserpool::kInfiniteLife || kept_in_ms == partner.life_in_milliseconds) return life;
  if (partner.life_in_milliseconds) {
    constexpr uint64_t kMost = 0xfffffffe;  // all ones is for ever
    return static_cast<int32_t>(
        static_cast<uint32_t>(std::min<uint64_t>(uint64_t{static_cast<uint32_t>(life)} * 1000, kMost)));
  }
  return static_cast<int32_t>((uint64_t{static_cast<uint32_t>(life)} + 999) / 1000);
}

}  // namespace poolgate::registrar
