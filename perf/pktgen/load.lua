-- SPDX-License-Identifier: BSD-3-Clause
-- What rate.lua, throughput.lua and latency.lua share: their settings, and one trial.
local load = {}

function load.number(name, default) return tonumber(os.getenv("POOLGATE_" .. name) or default) end

load.tx = os.getenv("POOLGATE_TX") or "0"
load.rx = os.getenv("POOLGATE_RX") or load.tx
load.rate = load.number("RATE", 100)
load.seconds = load.number("SECONDS", 10)

-- To the file that POOLGATE_RESULT names, too: the screen is pktgen's own.
function load.say(...)
	local line = string.format(...)
	print(line)
	local path = os.getenv("POOLGATE_RESULT")
	if path == nil then return end
	local file = assert(io.open(path, "a"))
	file:write(line, "\n")
	file:close()
end

-- `rate`: percent of the link's.
function load.trial(rate, seconds)
	pktgen.clr()
	pktgen.set(load.tx, "count", 0)
	pktgen.set(load.tx, "rate", rate)
	pktgen.start(load.tx)
	pktgen.delay(math.floor(seconds * 1000))
	pktgen.stop(load.tx)
	pktgen.delay(1000)  -- what is under way arrives
	local sent = pktgen.portStats(load.tx, "port")[tonumber(load.tx)].opackets
	local received = pktgen.portStats(load.rx, "port")[tonumber(load.rx)].ipackets
	return {
		rate = rate,
		sent = sent,
		received = received,
		lost = sent > 0 and 100 * math.max(sent - received, 0) / sent or 100,
		mpps = received / seconds / 1e6,
	}
end

function load.print(result)
	load.say("rate %.2f %%: %d sent, %d received (%.3f Mpps), %.4f %% lost", result.rate, result.sent, result.received, result.mpps,
		result.lost)
end

return load
