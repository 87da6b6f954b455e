# SPDX-License-Identifier: BSD-3-Clause
# The lab's network: namespaces, bridges, veth pairs. Sourced by scripts/lab; needs `prefix`.
# shellcheck shell=bash
#
#   pu 10.0.1.2 ──┐                               ┌── pe1..3 10.0.2.11-13   (eth0)
#                 br-pu ── [net: router .254] ── br-pe
#   app0 ─────────┘                               ├── app1                  br-pe2 ── pe1..3 10.0.3.11-13 (eth1), app2
#
# Every link is a veth pair made inside the namespaces, so nothing of the lab is ever seen in the host's own.
vip4=192.0.2.1
vip6=2001:db8::1
lab_namespaces=(net pu pe1 pe2 pe3 app)

in_ns() { local ns=$1; shift; ip netns exec "$prefix$ns" "$@"; }
sysctls() { local ns=$1 kv; shift; for kv in "$@"; do in_ns "$ns" sysctl -q -w "$kv"; done; }

# af_packet hands a frame over as the sender left it: no half-made checksums, no frames beyond the MTU.
offloads_off() {
  in_ns "$1" ethtool -K "$2" rx off tx off sg off tso off gso off gro off rxvlan off txvlan off \
    tx-checksum-sctp off >/dev/null 2>&1 ||
    in_ns "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null
}

# link NS DEV BRIDGE: DEV in namespace NS, its other end a port of BRIDGE in `net`
link() {
  local port="$1.$2"
  ip link add name "$2" netns "$prefix$1" type veth peer name "$port" netns "${prefix}net"
  offloads_off "$1" "$2"; offloads_off net "$port"
  sysctls net "net.ipv6.conf.$1/$2.disable_ipv6=1"
  ip -n "${prefix}net" link set "$port" master "$3" up
}

bridge() {  # NAME IPV4 IPV6
  ip -n "${prefix}net" link add "$1" type bridge forward_delay 0 mcast_snooping 0
  ip -n "${prefix}net" addr add "$2" dev "$1"
  ip -n "${prefix}net" addr add "$3" dev "$1" nodad
  ip -n "${prefix}net" link set "$1" up
  offloads_off net "$1"
}

add_pu() {
  link pu eth0 br-pu
  local on="ip -n ${prefix}pu"
  $on addr add 10.0.1.2/24 dev eth0
  $on addr add fd00:1::2/64 dev eth0 nodad
  $on link set eth0 up
  $on route add default via 10.0.1.254
  $on route add $vip4/32 via 10.0.1.1
  $on -6 route add default via fd00:1::254
  $on -6 route add $vip6/128 via fd00:1::1
}

# A PE answers clients itself (direct return): the VIP is on its loopback, and ARP never speaks of it.
add_pe() {
  local n=$1 ns=pe$1
  link "$ns" eth0 br-pe
  link "$ns" eth1 br-pe2
  sysctls "$ns" net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
  local on="ip -n $prefix$ns"
  $on addr add $vip4/32 dev lo
  $on addr add $vip6/128 dev lo nodad
  $on addr add "10.0.2.1$n/24" dev eth0
  $on addr add "fd00:2::1$n/64" dev eth0 nodad
  $on addr add "10.0.3.1$n/24" dev eth1
  $on link set eth0 up
  $on link set eth1 up
  $on route add default via 10.0.2.254
  $on -6 route add default via fd00:2::254
}

# The appliance's ports. The kernel gets a copy of each frame that comes in here: it must have no address, no opinion
# and no voice (the addresses are the TAPs', which the data plane makes).
add_app() {
  sysctls app net.ipv4.conf.default.arp_ignore=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.conf.all.arp_ignore=1 \
    net.ipv4.conf.all.rp_filter=1 net.ipv4.ip_forward=0
  local dev
  for dev in app0:br-pu app1:br-pe app2:br-pe2; do
    link app "${dev%:*}" "${dev#*:}"
    sysctls app "net.ipv6.conf.${dev%:*}.disable_ipv6=1" "net.ipv4.conf.${dev%:*}.arp_ignore=1" \
      "net.ipv4.conf.${dev%:*}.rp_filter=1"
    ip -n "${prefix}app" link set "${dev%:*}" up
  done
}

network_up() {
  local ns
  for ns in "${lab_namespaces[@]}"; do
    ip netns add "$prefix$ns"
    ip -n "$prefix$ns" link set lo up
    sysctls "$ns" net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv6.conf.default.accept_dad=0 \
      net.ipv6.conf.all.accept_dad=0
  done
  sysctls net net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.send_redirects=0 \
    net.ipv4.conf.default.send_redirects=0
  bridge br-pu 10.0.1.254/24 fd00:1::254/64
  bridge br-pe 10.0.2.254/24 fd00:2::254/64
  bridge br-pe2 10.0.3.254/24 fd00:3::254/64
  add_pu
  add_pe 1; add_pe 2; add_pe 3
  add_app
}

network_down() {
  local ns pid
  for ns in "${lab_namespaces[@]}"; do
    [[ -e /run/netns/$prefix$ns ]] || continue
    # The namespace is ours, so is what is left in it; a namespace lives on while a process does.
    for pid in $(ip netns pids "$prefix$ns" 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
    ip netns del "$prefix$ns"
  done
}
