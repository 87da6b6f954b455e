-- SPDX-License-Identifier: BSD-3-Clause
-- Latency at a fixed load. Pktgen puts its time into UDP datagrams of its own among the load, so there must be a UDP service for them,
-- in mode l2: POOLGATE_PROBE=192.0.2.1:5000 names it. See README.md.
package.path = package.path .. ";" .. (os.getenv("POOLGATE_PKTGEN") or ".") .. "/?.lua"
local load = require "load"

local address, port = (os.getenv("POOLGATE_PROBE") or "192.0.2.1:5000"):match("^(.*):(%d+)$")
pktgen.set_ipaddr(load.tx, "dst", address)
pktgen.set(load.tx, "dport", tonumber(port))
pktgen.set_proto(load.tx, "udp")
pktgen.latency(load.tx, "rate", 1000)  -- one each 1,000 us
pktgen.latency(load.tx, "enable")
if load.rx ~= load.tx then pktgen.latency(load.rx, "enable") end
local result = load.trial(load.rate, load.seconds)
load.print(result)
local seen = pktgen.pktStats(load.rx)[tonumber(load.rx)].latency
load.say("latency of %d probes: %.1f us least, %.1f us mean, %.1f us most", seen.num_pkts, seen.min_us, seen.avg_us, seen.max_us)
pktgen.quit()
