-- SPDX-License-Identifier: BSD-3-Clause
-- A fixed rate for a while: sent, received, lost. See README.md.
--   POOLGATE_TX=0 POOLGATE_RX=1 POOLGATE_RATE=10 POOLGATE_SECONDS=10 pktgen ... -f rate.lua
package.path = package.path .. ";" .. (os.getenv("POOLGATE_PKTGEN") or ".") .. "/?.lua"
local load = require "load"

load.print(load.trial(load.rate, load.seconds))
pktgen.quit()
