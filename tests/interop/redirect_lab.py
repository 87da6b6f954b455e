# SPDX-License-Identifier: BSD-3-Clause
"""The appliance between Linux hosts with kernel SCTP, each a guest with two links; every pair of networks is one path:

    client 10.0.1.21 ── br-pu ─ app0        app1 ─ br-pe ── 10.0.2.21 pe1, .22 pe2       path 0, VIP 192.0.2.1
           10.0.4.21 ── br-pu2 ─ app3       app2 ─ br-pe2 ── 10.0.3.21 pe1, .22 pe2      path 1, VIP 192.0.2.2

The bridges route for each other, as scripts/lab has them: that is the servers' direct way back. One service, pool, server
and client to each mode, on ports of their own, all at once: a fault befalls all of them. Over IPv6 the same hosts are
fd00:1::21 and so on, the VIPs 2001:db8::1 and ::2; tunnels lead there to servers that have registered IPv4 addresses, too.
"""
import collections
import ipaddress
import json
import os
import shutil
import threading

from lib.lab import AGENT, BUILD, Lab, appliance_toml, run, wait_until
from linux_guest import Guest, Nic

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sctp_program.py")
VIPS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
NETWORKS = {"client": (1, 4), "pe1": (2, 3), "pe2": (2, 3)}
Mode = collections.namedtuple("Mode", "number mode underlay")  # underlay: the family of what the servers register
# `routed` is nat without addresses of ours: the server's way back leads through us.
MODES = {4: {"l2": Mode(1, "l2", 4), "ipip": Mode(2, "ipip", 4), "gue": Mode(3, "gue", 4), "nat": Mode(4, "nat", 4),
             "routed": Mode(5, "nat", 4)},
         6: {"l2": Mode(1, "l2", 6), "ipip": Mode(2, "ipip", 6), "gue": Mode(3, "gue", 6), "nat": Mode(4, "nat", 6),
             "routed": Mode(5, "nat", 6), "ipip-6in4": Mode(6, "ipip", 4), "gue-6in4": Mode(7, "gue", 4)}}
SHARE_OF_MODE = 0.0125  # seconds: 80 messages a second together, whatever the modes, as guests without KVM are slow
# As a mode's number: of a server without us, and of services with rules of their own. These are nat before the servers and in the
# pool of `routed`, so that nothing else runs for them, but for the one whose pool nobody is in.
OTHERS = {"plain": 9, "hold": 10, "drain": 11, "empty": 12}
RULES = {"hold": 'on_pe_death = "hold"', "drain": 'on_pe_death = "drain"'}
# What a server's kernel takes out of a tunnel, by the families inside and outside, comes out of these devices.
TUNNELS = {(4, 4): ("tunl0",), (6, 4): ("sit0",), (6, 6): ("pg2", "pg3")}
BRIDGES = {"client": ("br-pu", "br-pu2"), "pe1": ("br-pe", "br-pe2"), "pe2": ("br-pe", "br-pe2")}

# Lost packets and dead paths show soon. Who is cut off, or starts anew, is waited for: it must not look dead before.
QUICK = """sysctl -qw net.sctp.rto_min=200 net.sctp.rto_initial=200 net.sctp.rto_max=1000 net.sctp.hb_interval=500 \
  net.sctp.path_max_retrans=2 net.sctp.association_max_retrans={retrans} net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
for device in eth0 eth1; do sysctl -qw net.ipv4.conf.$device.rp_filter=0; ip link set $device up; done
"""
CLIENT_SETUP = QUICK.format(retrans=16) + """
ip addr add 10.0.1.21/24 dev eth0; ip addr add 10.0.4.21/24 dev eth1
ip route add 192.0.2.1 via 10.0.1.1; ip route add 192.0.2.2 via 10.0.4.1
ip route add 10.0.2.0/24 via 10.0.1.254; ip route add 10.0.3.0/24 via 10.0.4.254
ip addr add fd00:1::21/64 dev eth0 nodad; ip addr add fd00:4::21/64 dev eth1 nodad
ip route add 2001:db8::1 via fd00:1::1; ip route add 2001:db8::2 via fd00:4::1
ip route add fd00:2::/64 via fd00:1::254; ip route add fd00:3::/64 via fd00:4::254
"""
# What README asks of a server: the VIPs on lo, which ARP never speaks of, and for ipip and gue a tunnel device.
PE_SETUP = QUICK.format(retrans=1000) + """
sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
ip addr add 10.0.2.2{n}/24 dev eth0; ip addr add 10.0.3.2{n}/24 dev eth1
ip addr add fd00:2::2{n}/64 dev eth0 nodad; ip addr add fd00:3::2{n}/64 dev eth1 nodad
for vip in 192.0.2.1 192.0.2.2; do ip addr add $vip/32 dev lo; done
for vip in 2001:db8::1 2001:db8::2; do ip addr add $vip/128 dev lo nodad; done
ip route add 10.0.1.0/24 via 10.0.2.254; ip route add 10.0.4.0/24 via 10.0.3.254
ip route add fd00:1::/64 via fd00:2::254; ip route add fd00:4::/64 via fd00:3::254
for family in -4 -6; do ip $family rule add ipproto sctp sport 5005 lookup 100; done
ip route add 10.0.1.0/24 via 10.0.2.1 table 100; ip route add 10.0.4.0/24 via 10.0.3.1 table 100
ip route add fd00:1::/64 via fd00:2::1 table 100; ip route add fd00:4::/64 via fd00:3::1 table 100
sysctl -qw net.ipv4.conf.tunl0.rp_filter=0; ip link set tunl0 up; ip link set sit0 up
for net in 2 3; do ip link add pg$net type ip6tnl mode any remote fd00:$net::1; ip link set pg$net up; done
for family in -4 -6; do ip $family fou add port 6080 gue; done
"""


def addresses(family, host):
    number = 22 if host == "pe2" else 21
    return tuple(f"10.0.{net}.{number}" if family == 4 else f"fd00:{net}::{number}" for net in NETWORKS[host])


KERNEL_STATE = "date; cat /proc/net/sctp/assocs /proc/net/sctp/remaddr /proc/net/sctp/snmp; ip -br addr; ip neigh; ip -6 neigh"
Record = collections.namedtuple("Record", "time number what rest")


class Host(Guest):
    """One of the guests, by the lab's names of it."""

    def __init__(self, lab, name, family):
        self.name, self.family = name, family
        number = list(BRIDGES).index(name)
        nics = [Nic(tap=f"{name}.{n}", mac=f"52:54:00:30:0{number}:0{n}") for n in (0, 1)]
        super().__init__(nics, netns=lab.namespace("net"), memory=384, modules=("sctp", "ipip", "sit", "ip6_tunnel", "fou", "fou6"))

    def __enter__(self):
        super().__enter__()
        self.run(CLIENT_SETUP if self.name == "client" else PE_SETUP.replace("{n}", self.name[2]))
        return self

    def own_addresses(self):
        return addresses(self.family, self.name)

    def counters(self):
        """Those of its SCTP, as /proc/net/sctp/snmp names them; `udp4` and `udp6`, datagrams taken; and packets received by device."""
        counters = {}
        for line in self.run("cat /proc/net/sctp/snmp /proc/net/snmp /proc/net/snmp6 /proc/net/dev").splitlines():
            words = line.replace(":", ": ").split()
            if words[0].startswith("Sctp"):
                counters[words[0]] = int(words[1])
            elif words[0] == "Udp6InDatagrams" or (words[0] == "Udp:" and words[1].isdigit()):
                counters["udp6" if words[0] != "Udp:" else "udp4"] = int(words[1])
            elif words[0].endswith(":") and words[0][:-1] in sum(TUNNELS.values(), ()):
                counters[words[0][:-1]] = int(words[2])
        return counters


class Asker:
    """A client that runs in the guest, and what it has told so far."""

    def __init__(self, host, mode):
        self.host, self.mode, self.log = host, mode, f"ask-{mode}"
        self.service = OTHERS.get(mode) or MODES[host.family][mode].number
        self.port = 4000 + self.service

    def spec(self):
        family, number = self.host.family, self.service
        to, port = (addresses(family, "pe1")[0], 5000) if self.mode == "plain" else (VIPS[family][0], 7000)
        return f"/share/{self.log}%{self.port}%{to}%{port + number}%{len(MODES[family]) * SHARE_OF_MODE}"

    def records(self):
        lines = self.host.read(self.log).splitlines(keepends=True)[1:]
        words = [line.split() for line in lines if line.endswith("\n")]
        return [Record(float(w[0]), int(w[1]), w[2], w[3:]) for w in words]

    def of(self, what, number=None):
        return [r for r in self.records() if r.what == what and number in (None, r.number)]

    def wait(self, what, wanted, seconds=60):
        """The first true value of wanted(records so far)."""
        try:
            return wait_until(lambda: wanted(self.records()), seconds, f"{self.mode}: {what}")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.host.read(self.log)[-3000:]}") from None

    def number(self):
        """Of the association that is up; there is one, and it has been answered."""
        def latest(records):
            last = [r for r in records if r.what != "path"][-1:]
            return last[0].number if last and last[0].what == "echo" else None
        return self.wait("an association that is answered", latest)

    def server(self, number):
        """Who answered in an association; it must be one, and its messages each once, in order, none left out."""
        echoes = [(r.rest[0], int(r.rest[1])) for r in self.of("echo", number)]
        names = {name for name, _ in echoes}
        assert len(names) == 1, f"{self.mode}: association {number} was answered by {names}"
        assert [m for _, m in echoes] == list(range(1, len(echoes) + 1)), f"{self.mode}: lost or doubled: {echoes}"
        return names.pop()

    def wait_for_echoes(self, number, n):
        """Until n more answers are there than now."""
        wanted = len(self.of("echo", number)) + n
        self.wait(f"{n} more answers in association {number}",
                  lambda records: sum(r.what == "echo" and r.number == number for r in records) >= wanted)

    def paths(self, number):
        """The state of each address of the server's that was told of last."""
        return {r.rest[0]: r.rest[1] for r in self.of("path", number)}


class RedirectLab:
    def __init__(self, family=4, workers=1):
        """`workers`: of those that receive; from two on the endpoint has one of its own."""
        self.lab, self.family, self.workers = Lab("pgk-"), family, workers
        self.modes, self.vips, self.near = MODES[family], VIPS[family], "l2"  # near: whose resolutions the data plane answers
        self.hosts, self.askers = {}, {}

    def __enter__(self):
        self.lab.__enter__()
        try:
            self.make_networks()
            with open(self.lab.config, "w", encoding="utf-8") as f:
                f.write(self.configuration())
            if self.workers > 1:
                self.lab.use_workers(*(n % 2 for n in range(1, self.workers + 2)))
                self.lab.configure(("framecnt=1024", f"framecnt=1024,qpairs={self.workers}"))
            self.lab.start()
            self.start_capture()
            self.boot(*BRIDGES)
            self.wait_for_pools()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for host in self.hosts.values():
            host.__exit__()
        self.lab.script("down")

    # ---- the networks

    def make_networks(self):
        net, app = self.lab.namespace("net"), self.lab.namespace("app")
        run("ip", "-n", net, "link", "add", "br-pu2", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        run("ip", "-n", net, "addr", "add", "10.0.4.254/24", "dev", "br-pu2")
        run("ip", "-n", net, "addr", "add", "fd00:4::254/64", "dev", "br-pu2", "nodad")
        run("ip", "link", "add", "name", "app3", "netns", app, "type", "veth", "peer", "name", "app.app3", "netns", net)
        for namespace, device in ((app, "app3"), (net, "app.app3")):
            run("ip", "netns", "exec", namespace, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off", check=False)
        run("ip", "netns", "exec", app, "sysctl", "-qw", "net.ipv6.conf.app3.disable_ipv6=1", "net.ipv4.conf.app3.arp_ignore=1",
            "net.ipv4.conf.app3.rp_filter=1")
        run("ip", "-n", app, "link", "set", "app3", "up")
        run("ip", "-n", net, "link", "set", "app.app3", "master", "br-pu2", "up")
        for number, bridge in enumerate(("br-pu", "br-pe", "br-pe2", "br-pu2")):
            # Its own, as else it would follow those of the ports that come and go.
            run("ip", "-n", net, "link", "set", bridge, "address", f"52:54:00:3f:00:0{number}", "up")
        for host, bridges in BRIDGES.items():
            for n, bridge in enumerate(bridges):
                run("ip", "-n", net, "tuntap", "add", f"{host}.{n}", "mode", "tap")
                run("ip", "-n", net, "link", "set", f"{host}.{n}", "master", bridge, "up")

    def cut(self, host, *links):
        """Nothing comes through these links of a host any more, either way; their carriers stay."""
        for n in links:
            run("ip", "-n", self.lab.namespace("net"), "link", "set", f"{host}.{n}", "nomaster")

    def join(self, host, *links):
        for n in links:
            run("ip", "-n", self.lab.namespace("net"), "link", "set", f"{host}.{n}", "master", BRIDGES[host][n])

    def cut_off(self, host, off):
        (self.cut if off else self.join)(host, 0, 1)

    # ---- the appliance

    def configuration(self):
        text = appliance_toml("kernel", self.lab.dir, "pgk-lab") + """
[registrar]
# The prober is what finds a dead host here.
keepalive_interval_ms = 30000
keepalive_timeout_ms = 10000
"""
        for n, name in enumerate(("pu", "pe", "pe2", "pu2")):
            text += (f'[[port]]\nname = "{name}"\ndevice = "net_af_packet{n},iface=app{n},framecnt=1024"\ntap = "pg-{name}"\n'
                     f'addresses = ["10.0.{n + 1}.1/24", "fd00:{n + 1}::1/64"]\n')
        snat = ("10.0.2.201", "10.0.3.201") if self.family == 4 else ("fd00:2::201", "fd00:3::201")  # addresses of ours, one a path
        for name, (n, mode, _) in self.modes.items():
            text += self.service(name, n, mode, name, f'snat = ["{snat[0]}", "{snat[1]}"]' if name == "nat" else "")
        for name, rule in RULES.items():
            text += self.service(name, OTHERS[name], "nat", "routed", rule)
        text += self.service("empty", OTHERS["empty"], "nat", "nobody")
        return text + f'[[pool]]\nhandle = "{self.near}"\nanswer_on_worker = true\n'

    def service(self, name, number, mode, pool, more=""):
        """In nat on another port than the servers'."""
        return f"""[[service]]
name = "{name}"
vips = ["{self.vips[0]}", "{self.vips[1]}"]
protocol = "sctp"
port = {7000 + number}
pool = "{pool}"
mode = "{mode}"
prober = "{'sctp' if mode == 'nat' else 'heartbeat'}"
probe_interval_ms = 200
probe_count = 5
{more}
"""

    def is_nat(self, mode):
        return self.modes[mode].mode == "nat"

    def show(self, *words):
        return json.loads(self.lab.cli("show", *words, "json"))

    def elements(self, mode):
        """`show pool`: {PE: its row}."""
        try:
            shown = self.show("pool", mode)
        except AssertionError:  # it has no element
            return {}
        return {f"pe{int(row['pe'], 16)}": row for row in shown[f"pool {mode}"]}

    def counts(self, service):
        """How many of its clients were told that their server is dead, and how many that none serves them."""
        row = self.show("service", service)["services"][0]
        return row["aborted"], row["refused"]

    def sessions(self, mode):
        return [s for s in self.show("session", "all")["sessions"] if s["service"] == mode]

    def wait_for_pools(self, *pes):
        pes = pes or ("pe1", "pe2")
        def up(mode):
            return {pe for pe, row in self.elements(mode).items() if row["state"] == "up" and row["prober"].endswith(":alive")
                    and not row["dead_addresses"]} == set(pes)
        for mode in self.modes:
            wait_until(lambda mode=mode: up(mode), 60, f"{pes} in the pool {mode}: {self.elements(mode)}")
        # The agents' associations go over both links again, or the next cut is one too many for them.
        wait_until(lambda: all(path["reachable"] for path in self.show("assoc", "all")["paths"]), 60, "the agents' paths")

    def wait_for_dead_addresses(self, mode, pe, addresses):
        wait_until(lambda: self.elements(mode)[pe]["dead_addresses"] == addresses, 60,
                   f"dead addresses of {pe} in {mode}: {addresses}, not {self.elements(mode)}")

    # ---- the hosts

    def boot(self, *names):
        """Starts these guests, or starts them anew, side by side."""
        errors = []
        def start(name):
            try:
                if name in self.hosts:
                    self.hosts.pop(name).__exit__()
                self.hosts[name] = Host(self.lab, name, self.family).__enter__()
                if name != "client":
                    self.start_servers(name)
            except BaseException as error:  # told in the thread that waits
                errors.append(error)
        threads = [threading.Thread(target=start, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def start_servers(self, pe, agents=True):
        """Unmodified programs, each with an agent beside it. In direct return they serve on the VIPs."""
        host = self.hosts[pe]
        specs = [f"/share/serve-plain%{5000 + OTHERS['plain']}%{','.join(host.own_addresses())}"]
        specs += [f"/share/serve-{mode}%{self.server_port(mode)}%{','.join(self.served_on(pe, mode))}" for mode in self.modes]
        commands = "".join(self.agent(pe, mode) for mode in self.modes) if agents else ""
        host.run(f"{commands} setsid python3 {PROGRAM} serve {pe} {' '.join(specs)} </dev/null >/share/serve 2>&1")

    def agent(self, pe, mode):
        """The command that has it registered."""
        underlay, port, served = self.modes[mode].underlay, self.server_port(mode), self.served_on(pe, mode)[0]
        own, asked = addresses(underlay, pe), f"[{served}]" if self.family == 6 else served
        return (f"setsid {AGENT} register --registrar {'10.0.2.1' if underlay == 4 else '[fd00:2::1]'}:3863 --sctp kernel --pool {mode} "
                f"--id 0x{pe[2]} --transport sctp --port {port} --address {own[0]} --address {own[1]} --lifetime 600s --probe sctp "
                f"--probe-to {asked}:{port} --probe-interval 1s --probe-timeout 10s --probe-fall 1 </dev/null >/share/agent-{mode} 2>&1 &\n")

    def start_agent(self, pe, mode):
        self.hosts[pe].run(self.agent(pe, mode))

    def end_agent(self, pe, mode):
        """It deregisters its server."""
        self.hosts[pe].run(f"pkill -TERM -f '[p]oolgate-agent register .*--pool {mode} '")
        wait_until(lambda: pe not in self.elements(mode), 60, f"{pe} to leave the pool {mode}")

    def served_on(self, pe, mode):
        return addresses(self.modes[mode].underlay, pe) if self.is_nat(mode) else self.vips

    def server_port(self, mode):
        return (5000 if self.is_nat(mode) else 7000) + self.modes[mode].number

    def associations(self, host, state=0):
        """How many its kernel has, those that are being set up included, in this state or a later one."""
        lines = self.hosts[host].run("cat /proc/net/sctp/assocs").splitlines()[1:]
        return len([line for line in lines if int(line.split()[4]) >= state])

    def served(self, pe, mode):
        """How many associations its kernel has with this mode's server."""
        lines = self.hosts[pe].run("cat /proc/net/sctp/assocs").splitlines()[1:]
        return len([line for line in lines if int(line.split()[11]) == self.server_port(mode)])

    def dead_paths(self, pe):
        """Of its kernel's paths to the client those that are anything but active (2)."""
        own = {ipaddress.ip_address(a) for a in self.hosts["client"].own_addresses()}
        lines = [line.split() for line in self.hosts[pe].run("cat /proc/net/sctp/remaddr").splitlines()[1:]]
        states = [words[-1] for words in lines if ipaddress.ip_address(words[0]) in own]
        assert states, "its associations with the client"
        return [state for state in states if state != "2"]

    def kill_server(self, pe, mode):
        self.hosts[pe].run(f"kill -9 {self.hosts[pe].read(f'serve-{mode}').split()[0]}")

    def start_clients(self, *modes):
        host = self.hosts["client"]
        self.askers.update({mode: Asker(host, mode) for mode in modes})
        specs = " ".join(self.askers[mode].spec() for mode in modes)
        host.run(f"setsid python3 {PROGRAM} ask {','.join(host.own_addresses())} {specs} </dev/null >/share/ask 2>&1")

    def end_clients(self):
        """Each takes the answers that it waits for, and ends its association with SHUTDOWN."""
        self.hosts["client"].run("pkill -TERM -f '[s]ctp_program.py ask'")

    def begin_with(self, pe):
        """Ends what clients there are, and starts new ones that this server gets."""
        self.hosts["client"].run("pkill -9 -f '[s]ctp_program.py ask'", check=False)
        self.start_clients_with(pe, *self.modes)

    def start_clients_with(self, pe, *modes):
        """Each has an association with it then."""
        others = [n for n in ("pe1", "pe2") if n != pe]
        self.set_pes("drain", *others)
        self.start_clients(*modes)
        for mode in modes:
            self.askers[mode].number()
        self.set_pes("up", *others)

    def resolve(self, pool, seconds=60):
        """Asked for by the client's kernel: {PE: (its addresses, its port)}; empty if nobody answers for so long."""
        registrar = "10.0.1.1:3863" if self.family == 4 else "[fd00:1::1]:3863"
        status, output = self.hosts["client"].call(f"{AGENT} resolve {pool} --registrar {registrar} --sctp kernel --json 2>/share/resolve",
                                                   seconds)
        elements = json.loads(output)["elements"] if status == 0 else []
        return {f"pe{int(e['id'], 16)}": e for e in elements}

    def set_pes(self, state, *pes):
        for mode in self.modes:
            for pe in pes:
                self.lab.cli("set", "pe", mode, f"0x{pe[2]}", state)

    def start_capture(self):
        self.lab.spawn("net", "capture", "tcpdump", "-i", "any", "-n", "-s", "160", "-C", "8", "-W", "2", "-Z", "root", "-w", self.capture,
                       "ip proto 132 or ip6 proto 132 or ip proto 4 or proto 41 or udp port 6080 or icmp or icmp6 or arp")

    @property
    def capture(self):
        return f"{self.lab.dir}/capture.pcap"

    def told(self, name):
        """All that might explain a failure; what passed the bridges last is kept in files of the build's folder."""
        self.lab.kill("capture", "INT")
        kept = [shutil.copy(f"{self.capture}{n}", f"{BUILD}/{name}.{n}.pcap") for n in (0, 1) if os.path.exists(f"{self.capture}{n}")]
        self.start_capture()
        text = f"--- captures: {kept}\n"
        for words in ("session all", "assoc all", "pool all", "worker all", "drops", "port stats all"):
            text += f"--- show {words}\n{self.shown(*words.split())}"
        text += f"--- data plane\n{self.lab.log('dataplane')[-5000:]}\n--- registrar\n{self.lab.log('registrar')[-3000:]}"
        for name, host in self.hosts.items():
            try:
                text += f"\n--- {name}\n{host.run(KERNEL_STATE, check=False)}"
            except Exception as error:  # also that it does not answer is worth knowing, and the rest is to be told
                text += f"\n--- {name} does not answer: {error!r}"
            for log in sorted(os.listdir(host.share)):
                if log != ".guest":
                    text += f"\n--- {name} {log}\n{host.read(log)[-600:]}"
        return text

    def shown(self, *words):
        try:
            return self.lab.cli("show", *words)
        except AssertionError as error:
            return f"{error}\n"


__all__ = ["RedirectLab", "TUNNELS", "addresses"]
