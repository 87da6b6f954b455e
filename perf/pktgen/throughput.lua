-- SPDX-License-Identifier: BSD-3-Clause
-- The highest rate at which no more than POOLGATE_LOSS (0.001) percent is lost (RFC 2544 26.1): a search by halves between 0 and
-- POOLGATE_RATE, to POOLGATE_STEP (0.5) percent of the link's rate. See README.md.
package.path = package.path .. ";" .. (os.getenv("POOLGATE_PKTGEN") or ".") .. "/?.lua"
local load = require "load"

local allowed = load.number("LOSS", 0.001)
local step = load.number("STEP", 0.5)
local best

local function good(rate)
	local result = load.trial(rate, load.seconds)
	load.print(result)
	if result.lost <= allowed then best = result end
	return result.lost <= allowed
end

local low, high = 0, load.rate
if not good(high) then
	while high - low > step do
		local middle = (low + high) / 2
		if good(middle) then low = middle else high = middle end
	end
end
if best == nil then
	load.say("no rate down to %.2f %% without loss", step)
else
	load.say("highest without loss: %.2f %% of the link, %.3f Mpps", best.rate, best.mpps)
end
pktgen.quit()
