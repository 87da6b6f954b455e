# SPDX-License-Identifier: BSD-3-Clause
# The lab's poolgate.toml, to standard output. Sourced by scripts/lab; needs `prefix` and `dir`.
# shellcheck shell=bash

service() {  # NAME PROTOCOL POOL MODE [EXTRA LINE]...
  printf '\n[[service]]\nname = "%s"\nvips = ["%s", "%s"]\nprotocol = "%s"\nport = 5000\npool = "%s"\nmode = "%s"\n' \
    "$1" "$vip4" "$vip6" "$2" "$3" "$4"
  shift 4
  (($# == 0)) || printf '%s\n' "$@"
}

port() {  # NAME DEVICE ADDRESSES
  printf '\n[[port]]\nname = "%s"\ndevice = "net_af_packet%s,iface=%s,framecnt=1024"\ntap = "pg-%s"\naddresses = [%s]\n' \
    "$1" "${2#app}" "$2" "$1" "$3"
}

lab_config() {
  local cores=1
  (($(nproc) > 1)) || cores=0
  cat <<T
# Made by scripts/lab: the appliance between the lab's two networks.
[general]
name = "${prefix}lab"
run_dir = "$dir/run"
state_dir = "$dir/state"

[dataplane]
eal = ["--no-huge", "-m", "512", "--no-pci", "--file-prefix=${prefix}lab"]
main_core = 0
worker_cores = [$cores]
idle_sleep_us = 200
mbufs = 16383
sessions = 65536
half_open_sessions = 8192
session_dir = "$dir/sessions"

[registrar]
keepalive_interval_ms = 1000
# Ten namespaces share this machine with whatever else runs: a busy one must not look like a dead server.
keepalive_timeout_ms = ${POOLGATE_LAB_KEEPALIVE_TIMEOUT_MS:-3000}
T
  port pu app0 '"10.0.1.1/24", "fd00:1::1/64"'
  port pe app1 '"10.0.2.1/24", "fd00:2::1/64"'
  port pe2 app2 '"10.0.3.1/24", "fd00:3::1/64"'
  service echo-udp udp EchoUdp l2
  service echo-tcp tcp EchoTcp nat 'snat = ["10.0.2.201", "fd00:2::201"]'
  service echo-sctp sctp EchoSctp l2
}
