# SPDX-License-Identifier: BSD-3-Clause
"""The two sides that every scenario runs against, at the same addresses: RSPLIB's registrar, and the appliance.

In the guest stand RSPLIB's hosts, each a network namespace with an address on the first network, h1 also on the second:
    10.10.0.0/24: h1 .11, h2 .12, pu .21, r2 .2, r3 .3, and .1 the registrar     10.11.0.0/24: h1 .11, and .1 the registrar
Each network is a bridge in the guest, br0 and br1, where we capture; the registrar's side of it is the port up0 (up1).

Timers are short, but never so short that a machine which stands still for a second or two looks like a dead peer.
"""
import dataclasses
import json
import os

import wire
from capture import Capture
from lib.dataplane import ChannelPeer
from lib.lab import BUILD, ROOT, Lab, appliance_toml, run, wait_until
from linux_guest import Guest, Nic

ASAP_CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "asap_client.py")
PORT0, PORT1 = "10.10.0.1", "10.11.0.1"
TIMERS = ("-asapannounce=off -enrpannounce=off -disable-ipv6 -quiet -logcolor=off -loglevel=3 -peerheartbeatcycle=1000 "
          "-peermaxtimelastheard=4000 -peermaxtimenoresponse=2000 -takeoverexpiryinterval=4000 -mentordiscoverytimeout=1000 "
          "-endpointkeepalivetransmissioninterval=1000 -endpointkeepalivetimeoutinterval=3000")


@dataclasses.dataclass
class Settings:
    """What a scenario may ask of the registrar under test."""
    server_id: int = 1
    peers: tuple = ()  # their addresses
    suggestions: bool = False  # of takeovers, taken and given
    announce: str = ""  # the group of SERVER_ANNOUNCE
    limits: bool = False  # one ENDPOINT_UNREACHABLE and fifty resolutions a second
    monitor: str = ""  # where status reports go
    life_in_seconds: bool = False  # Registration Life as RFC 5354 has it, where the registrar can


def rspregistrar(identifier, *addresses, peers=(), options=""):
    """The command of one of RSPLIB's registrars."""
    asap, enrp = (",".join([f"{addresses[0]}:{port}", *addresses[1:]]) for port in (3863, 9901))
    static = " ".join(f"-peer={peer}:9901" for peer in peers)
    return (f"rspregistrar {TIMERS} -identifier=0x{identifier:08x} -asap={asap} -enrp={enrp} {static} {options} "
            f"-logfile=/share/registrar-{identifier:x}.log")


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
for h in h1:11 h2:12 pu:21 r2:2 r3:3; do
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
            self.capture = Capture(self.guest, ports=("br0", "br1"))
            self.guest.run("mkfifo /run/pu")
            self.spawn("pu", f"/usr/bin/python3 {ASAP_CLIENT} pu /run/pu", "pu.out")
            self.start(Settings())
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

    def says(self, log, wanted, seconds=120):
        """Waits until wanted(what the program has printed so far) is true; its value."""
        try:
            return wait_until(lambda: wanted(self.guest.read(log)), seconds, log)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.guest.read(log)[-3000:]}") from None

    def messages(self, protocol="asap"):
        """Those of this scenario until now."""
        self.capture.sync()
        return [m for p in self.capture.packets() for m in p.messages if m.protocol == protocol]

    def wait_for(self, what, wanted, protocol="asap", seconds=120):
        """The first true value of wanted(messages of this scenario). `seconds` only ends what hangs."""
        return self.capture.wait(seconds, what, lambda packets: wanted(
            [m for p in packets for m in p.messages if m.protocol == protocol]))

    def end_programs(self):
        """Ends what a scenario started, as a crash would, and joins what it cut."""
        self.guest.run("pkill -9 -x 'rspserver|rspterminal|pingpongclient|hsdump|cspmonitor'; pkill -9 -f 'asap_client.py [p]e'; "
                       "kill -9 $(ip netns pids r2) $(ip netns pids r3) 2>/dev/null; "
                       "ip -n h1 link set eth0 up; ip -n h2 link set eth0 up; ip link set h1-eth0 up; ip link set h2-eth0 up", check=False)

    def restart(self, **settings):
        """Begins anew with an empty registrar of these settings."""
        self.end()
        self.start(Settings(**settings))
        self.tell_pu(f"{PORT0} forget 0 -")

    def cut(self):
        """From now on the registrar is not heard, nor does it hear."""
        self.guest.run("ip link set up0 nomaster; ip link set up1 nomaster")

    def join(self):
        self.guest.run("ip link set up0 master br0; ip link set up1 master br1")


class RsplibSide(Side):
    """RSPLIB's own registrar, in a namespace of the guest."""

    name = "rsplib"

    announces_takeover = False  # its TAKEOVER_SERVER names neither association nor address, and never leaves

    @staticmethod
    def life(seconds):
        return seconds * 1000

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

    def start(self, settings):
        options = ["-supporttakeoversuggestion"] if settings.suggestions else []
        options += [f"-asapannounce={settings.announce}"] if settings.announce else []
        options += ["-maxhrrate=50", "-maxeurate=1"] if settings.limits else []
        options += [f"-cspserver={settings.monitor}", "-cspinterval=1000"] if settings.monitor else []
        self.registrar = self.spawn("uut", rspregistrar(settings.server_id, PORT0, PORT1, peers=settings.peers,
                                                        options=" ".join(options)), "registrar.out")
        wait_until(lambda: "3863" in self.in_host("uut", "cat /proc/net/sctp/eps"), 60, "rspregistrar to listen")

    def end(self):
        self.guest.run(f"kill -9 {self.registrar}", check=False)
        wait_until(lambda: "3863" not in self.in_host("uut", "cat /proc/net/sctp/eps"), 60, "rspregistrar to end")

    def connect_as_enrp_peer(self, peer):
        """Has it connect to `peer`, which does the same now: a registrar says hello to its peers a second after its start."""
        self.restart(peers=[peer])

    def enrp_associations(self):
        return sum(" 9901 " in line for line in self.in_host("uut", "cat /proc/net/sctp/assocs").splitlines()[1:])

    def be_alone_again(self):
        self.restart()

    def check_alive(self):
        self.guest.run(f"kill -0 {self.registrar}")


class PoolgateSide(Side):
    """The appliance on this machine, its ports the taps that are the guest's NICs."""

    name = "poolgate"
    prefix = "pgi-"
    announces_takeover = True

    @staticmethod
    def life(seconds):
        return seconds

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

    def configuration(self, settings):
        ports = "".join(f"""
[[port]]
name = "net{n}"
device = "net_af_packet{n},iface=tap{n},framecnt=1024"
tap = "pg-net{n}"
addresses = ["10.1{n}.0.1/24"]
""" for n in (0, 1))
        life = "" if settings.life_in_seconds else """
[[registrar.life_unit]]
source = "10.0.0.0/8"
unit = "ms"
"""
        peers = "".join(f"""
[[registrar.peer]]
addresses = ["{peer}:9901"]
""" for peer in settings.peers)
        return appliance_toml(f"{self.prefix}interop", self.dir, f"{self.prefix}lab") + f"""
[sctp]
heartbeat_ms = 1000
rto_min_ms = 100
association_max_retrans = 10
{ports}
[registrar]
server_id = {settings.server_id}
keepalive_interval_ms = 1000
keepalive_timeout_ms = 3000
max_items = 3
peer_heartbeat_ms = 1000
max_time_last_heard_ms = 4000
max_time_no_response_ms = 2000
takeover_timeout_ms = 4000
peer_message_rate = {50 if settings.limits else 10000}
unreachable_rate = {1 if settings.limits else 10}
takeover_suggestion = {str(settings.suggestions).lower()}
announce = [{f'"{settings.announce}"' if settings.announce else ""}]
status_report_to = [{f'"{settings.monitor}"' if settings.monitor else ""}]

[[registrar.rsplib]]
source = "{"10.10.0.2/31" if settings.life_in_seconds else "10.0.0.0/8"}"
{life}{peers}"""

    def start(self, settings):
        with open(f"{self.dir}/poolgate.toml", "w", encoding="utf-8") as f:
            f.write(self.configuration(settings))
        self.script("start")

    def end(self):
        self.script("kill", "registrar")
        self.script("kill", "dataplane")
        run("find", f"{self.dir}/state", "-mindepth", "1", "-delete")

    def connect_as_enrp_peer(self, peer):
        """Has it connect to `peer`, which has just sent an INIT. The test stands in the registrar's place: ours has no peers yet."""
        self.script("kill", "registrar", "TERM")
        self.channel = ChannelPeer(Lab(self.prefix))
        wait_until(lambda: "9901" in self.in_host("h2", "cat /proc/net/sctp/assocs"), 60, "the peer's INIT")
        self.channel.tell(f"connect 1 {peer} 9901 enrp")

    def enrp_associations(self):
        return sum(" port 9901 " in line for line in self.channel.wait_for("up "))

    def be_alone_again(self):
        self.channel.close()
        self.restart()

    def show(self, *words):
        return json.loads(run(os.path.join(BUILD, "dataplane", "cli", "poolgate-cli"), "--config", f"{self.dir}/poolgate.toml",
                              "show", *words, "json"))

    def dump(self):
        """Our own view of the handlespace: {pe: home}."""
        pools = self.show("registrar", "pool", "all")["pools"]
        return {int(pe["id"], 0): int(pe["home"], 0) for pool in pools for pe in pool["elements"]}

    def check_alive(self):
        status = self.script("status")
        assert "dead" not in status, status

    def remove(self):
        self.script("down")
