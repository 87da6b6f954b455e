# SPDX-License-Identifier: BSD-3-Clause
"""The two sides that every scenario runs against, at the same addresses: RSPLIB's registrar, and the appliance.

In the guest stand RSPLIB's hosts, each a network namespace with an address on the first network, h1 also on the second:
    10.10.0.0/24: h1 .11, h2 .12, pu .21, and .1 the registrar     10.11.0.0/24: h1 .11, and .1 the registrar
Each network is a bridge in the guest; the registrar's side of it is the port up0 (up1), where we capture.

Timers are short, but never so short that a machine which stands still for a second or two looks like a dead peer.
"""
import os

import wire
from capture import Capture
from lib.dataplane import ChannelPeer
from lib.lab import ROOT, Lab, run, wait_until
from linux_guest import Guest, Nic

ASAP_CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "asap_client.py")
TIMERS = ("-asapannounce=off -enrpannounce=off -disable-ipv6 -quiet -logcolor=off -loglevel=5 -peerheartbeatcycle=1000 "
          "-peermaxtimelastheard=3000 -peermaxtimenoresponse=1000 -takeoverexpiryinterval=2000 -mentordiscoverytimeout=1000 "
          "-endpointkeepalivetransmissioninterval=1000 -endpointkeepalivetimeoutinterval=3000")

NETWORKS = """
set -e
for n in 0 1; do ip link add br$n type bridge mcast_snooping 0; ip link set br$n up; done
host() {  # NAME BRIDGE NUMBER ADDRESS
  ip link add $1-eth$3 type veth peer name eth$3 netns $1
  ip link set $1-eth$3 master $2 up
  ip -n $1 addr add $4 dev eth$3
  ip -n $1 link set eth$3 up
}
quick() {  # losses and dead paths show soon; over the 200 ms of a delayed SACK
  ip netns exec $1 sysctl -qw net.sctp.rto_min=300 net.sctp.rto_initial=300 net.sctp.rto_max=1000 net.sctp.hb_interval=1000 \\
    net.sctp.path_max_retrans=2 net.sctp.association_max_retrans=8
}
for h in h1:11 h2:12 pu:21; do
  ip netns add ${h%:*}; ip -n ${h%:*} link set lo up; quick ${h%:*}
  host ${h%:*} br0 0 10.10.0.${h#*:}/24
  ip -n ${h%:*} route add 239.0.0.0/8 dev eth0
done
host h1 br1 1 10.11.0.11/24
"""


class Side:
    def __enter__(self):
        self.guest = Guest(**self.guest_options())
        self.guest.__enter__()
        try:
            self.guest.run(NETWORKS + self.uplinks())
            self.capture = Capture(self.guest, ports=("up0", "up1"))
            self.start()
            self.guest.run("mkfifo /run/pu")
            self.spawn("pu", f"/usr/bin/python3 {ASAP_CLIENT} pu 10.10.0.1 /run/pu", "pu.out")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if hasattr(self, "capture"):
                self.capture.close()
        finally:
            self.guest.__exit__()

    def in_host(self, host, command, timeout=60, check=True):
        return self.guest.run(f"ip netns exec {host} {command}", timeout, check)

    def spawn(self, host, command, log):
        return self.guest.spawn(f"ip netns exec {host} {command}", log)

    def tell_pu(self, command):
        """What asap_client.py's pool user is to do; see there."""
        self.guest.run(f"echo '{command}' >/run/pu")

    def says(self, log, wanted, seconds=60):
        """Waits until wanted(what the program has printed so far) is true; its value."""
        try:
            return wait_until(lambda: wanted(self.guest.read(log)), seconds, log)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.guest.read(log)[-3000:]}") from None

    def messages(self, protocol="asap"):
        """Those of this scenario until now."""
        self.capture.sync()
        return [m for p in self.capture.packets() for m in p.messages if m.protocol == protocol]

    def wait_for(self, what, wanted, protocol="asap", seconds=60):
        """The first true value of wanted(messages of this scenario). `seconds` only ends what hangs."""
        return self.capture.wait(seconds, what, lambda packets: wanted(
            [m for p in packets for m in p.messages if m.protocol == protocol]))

    def end_programs(self):
        """Ends what a scenario started, as a crash would."""
        self.guest.run("pkill -9 -x 'rspserver|rspterminal|pingpongclient|hsdump'; ip -n h1 link set eth0 up", check=False)


class RsplibSide(Side):
    """RSPLIB's own registrar, in a namespace of the guest."""

    name = "rsplib"

    @staticmethod
    def known_malformed(packet):
        """Its cause 5 comes without the policy (RFC 5354 §3.12.6)."""
        return packet.source == "10.10.0.1" and [m.type for m in packet.messages] == [wire.REGISTRATION_RESPONSE]

    def guest_options(self):
        return {"modules": ("sctp", "veth", "bridge", "sch_netem")}

    def uplinks(self):
        return """
ip netns add uut; ip -n uut link set lo up; quick uut
for n in 0 1; do
  ip link add up$n type veth peer name eth$n netns uut
  ip link set up$n master br$n up
  ip -n uut addr add 10.1$n.0.1/24 dev eth$n
  ip -n uut link set eth$n up
done
"""

    def start(self, options=""):
        self.registrar = self.spawn("uut", f"rspregistrar {TIMERS} {options} -identifier=0x00000001 -asap=10.10.0.1:3863,10.11.0.1 "
                                    "-enrp=10.10.0.1:9901,10.11.0.1 -logfile=/share/registrar.log", "registrar.out")
        wait_until(lambda: "3863" in self.in_host("uut", "cat /proc/net/sctp/eps"), 60, "rspregistrar to listen")

    def connect_as_enrp_peer(self, peer):
        """Has it connect to `peer`, which does the same now: a registrar says hello to its peers a second after its start."""
        self.guest.run(f"kill -9 {self.registrar}")
        wait_until(lambda: "3863" not in self.in_host("uut", "cat /proc/net/sctp/eps"), 60, "rspregistrar to end")
        self.start(f"-peer={peer}:9901")

    def enrp_associations(self):
        return sum(" 9901 " in line for line in self.in_host("uut", "cat /proc/net/sctp/assocs").splitlines()[1:])

    def be_alone_again(self):
        self.guest.run(f"kill -9 {self.registrar}")
        wait_until(lambda: "3863" not in self.in_host("uut", "cat /proc/net/sctp/eps"), 60, "rspregistrar to end")
        self.start()

    def check_alive(self):
        self.guest.run(f"kill -0 {self.registrar}")


class PoolgateSide(Side):
    """The appliance on this machine, its ports the taps that are the guest's NICs."""

    name = "poolgate"
    prefix = "pgi-"

    @staticmethod
    def known_malformed(packet):
        return False

    def guest_options(self):
        return {"nics": [Nic(tap="tap0", mac="52:54:00:10:00:01"), Nic(tap="tap1", mac="52:54:00:11:00:01")],
                "netns": f"{self.prefix}app", "modules": ("sctp", "veth", "bridge", "sch_netem")}

    def uplinks(self):
        return """
for n in 0 1; do
  ip link set eth$n name up$n
  ip link set up$n master br$n up
done
"""

    def __enter__(self):
        self.make_taps()
        try:
            return super().__enter__()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_):
        super().__exit__()
        self.remove()

    def script(self, *words):
        return run(os.path.join(ROOT, "scripts", "lab"), words[0], "--prefix", self.prefix, *words[1:], timeout=120)

    def make_taps(self):
        """The lab's appliance namespace, with taps beside its usual ports."""
        self.script("up")
        self.dir = f"/run/poolgate-lab/{self.prefix.rstrip('-')}"
        namespace = f"{self.prefix}app"
        for number in (0, 1):
            tap = f"tap{number}"
            run("ip", "-n", namespace, "tuntap", "add", tap, "mode", "tap")
            for setting in (f"net.ipv6.conf.{tap}.disable_ipv6=1", f"net.ipv4.conf.{tap}.arp_ignore=1", f"net.ipv4.conf.{tap}.rp_filter=1"):
                run("ip", "netns", "exec", namespace, "sysctl", "-qw", setting)
            run("ip", "netns", "exec", namespace, "ethtool", "-K", tap, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
            run("ip", "-n", namespace, "link", "set", tap, "up")
        with open(f"{self.dir}/poolgate.toml", "w", encoding="utf-8") as f:
            f.write(self.configuration())

    def configuration(self):
        ports = "".join(f"""
[[port]]
name = "net{n}"
device = "net_af_packet{n},iface=tap{n},framecnt=1024"
tap = "pg-net{n}"
addresses = ["10.1{n}.0.1/24"]
""" for n in (0, 1))
        return f"""[general]
name = "{self.prefix}interop"
run_dir = "{self.dir}/run"
state_dir = "{self.dir}/state"

[dataplane]
eal = ["--no-huge", "-m", "512", "--no-pci", "--file-prefix={self.prefix}lab"]
main_core = 0
worker_cores = [{1 if (os.cpu_count() or 1) > 1 else 0}]
idle_sleep_us = 200
mbufs = 16383
sessions = 4096
half_open_sessions = 1024
session_dir = "{self.dir}/sessions"

[sctp]
heartbeat_ms = 1000
rto_min_ms = 100
association_max_retrans = 10
{ports}
[registrar]
server_id = 1
keepalive_interval_ms = 1000
keepalive_timeout_ms = 3000
max_items = 3

[[registrar.life_unit]]
source = "10.0.0.0/8"
unit = "ms"
"""

    def start(self):
        self.script("start")

    def connect_as_enrp_peer(self, peer):
        """Has it connect to `peer`, which has just sent an INIT. The test stands in the registrar's place: ours has no peers yet."""
        self.script("kill", "registrar", "TERM")
        self.channel = ChannelPeer(Lab(self.prefix))
        wait_until(lambda: "9901" in self.in_host("h2", "cat /proc/net/sctp/assocs"), 60, "the peer's INIT")
        self.channel.tell(f"connect 1 {peer} 9901 enrp")

    def enrp_associations(self):
        return len(self.channel.wait_for("up "))

    def be_alone_again(self):
        self.channel.close()
        self.start()

    def check_alive(self):
        status = self.script("status")
        assert "dead" not in status, status

    def remove(self):
        self.script("down")
