-- Tensors that nobody holds are released although Lua sees only a few bytes of them.
local tap = require "tap"

local before = select(2, lorash.probe.live())
local t = Tensor.zeros(1000, 1000) -- 4 MB each
local most = 0
for _ = 1, 200 do
    t = t * 1.5
    most = math.max(most, lorash.probe.bytes())
end
tap.ok(most - before < 200e6, "200 temporaries of 4 MB never hold 200 MB: " .. (most - before) // 1e6 .. " MB")
t = nil

tap.done()
