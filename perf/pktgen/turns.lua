-- SPDX-License-Identifier: BSD-3-Clause
-- Pktgen at perf/pktgen/run's command: a turn is a line "NUMBER PORT RATE MILLISECONDS COUNT" in the folder's file `turn`, with
-- a rate in percent of the link's and either a time or a count of packets. What came of it is in `done`: "NUMBER SENT RECEIVED".

local folder = os.getenv("POOLGATE_TURNS")
local last = 0

local function next_turn()
	local file = io.open(folder .. "/turn")
	if file == nil then return nil end
	local number, port, rate, ms, count = file:read("n", "n", "n", "n", "n")
	file:close()
	if number == nil or count == nil or number <= last then return nil end
	last = number
	return math.tointeger(port), rate, math.tointeger(ms), math.tointeger(count)
end

local function run(port, rate, ms, count)
	local name = tostring(port)
	pktgen.clr()
	pktgen.set(name, "rate", rate)
	pktgen.set(name, "count", count)
	pktgen.start(name)
	if count == 0 then
		pktgen.delay(ms)
		pktgen.stop(name)
	else
		repeat pktgen.delay(100) until pktgen.isSending(name)[port] ~= "y"
	end
	pktgen.delay(1500)  -- what is under way arrives, and the statistics are read again
	local stats = pktgen.portStats(name, "port")[port]
	local file = assert(io.open(folder .. "/done.new", "w"))
	file:write(string.format("%d %d %d\n", last, stats.opackets, stats.ipackets))
	file:close()
	os.rename(folder .. "/done.new", folder .. "/done")
end

while true do
	local port, rate, ms, count = next_turn()
	if port == nil then
		pktgen.delay(50)
	else
		run(port, rate, ms, count)
	end
end
