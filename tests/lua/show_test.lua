-- How the prompt prints values.
local tap = require "tap"
local show = lorash.probe.show

local function shows(value, text, width, name)
    local found = show(value, width)
    tap.ok(found == text, name or text, "found  " .. found .. "\nwanted " .. text)
end

shows("abc", '"abc"')
shows('say "hi"', '"say \\"hi\\""')
shows("a\nb", "a\nb", nil, "several lines are raw")
shows("a\tb", '"a\\tb"')
shows("\27[31m", '"\\x1B[31m"', nil, "no raw escape")
shows("\27[31m\n", '"\\x1B[31m\\n"', nil, "no raw escape in several lines either")
shows("\xff", '"\\xFF"')
shows("größe 日本", '"größe 日本"')
shows("", '""')
shows(1, "1")
shows(1.0, "1.0")
shows(0.1, "0.1")
shows(2 ^ 53, "9007199254740992.0")
shows(1e300, "1e+300")
shows(math.mininteger, "-9223372036854775808")
shows(nil, "nil")
shows(true, "true")
shows({}, "{}")
shows({ 1, 2, 3 }, "{1, 2, 3}")
shows({ b = 1, a = 2 }, "{a = 2, b = 1}", nil, "keys are sorted")
shows({ ["a b"] = 1, ["end"] = 2 }, '{["a b"] = 1, ["end"] = 2}')
shows({ 10, nil, 30 }, "{10, nil, 30}")
shows({ [0] = "z", "a" }, '{"a", [0] = "z"}')
shows({ [2.5] = 1, [-1] = 2 }, "{[-1] = 2, [2.5] = 1}")
shows({ [true] = 1 }, "{[true] = 1}")
shows({ math.huge, -math.huge }, "{math.huge, -math.huge}")
shows({ { { { 1 } } } }, "{{{{...}}}}", nil, "depth 3 and the rest")
shows({ { { {} } } }, "{{{{}}}}", nil, "an empty table is shown at any depth")
local cycle = { name = "me" }
cycle.self = cycle
shows(cycle, '{name = "me", self = <cycle>}')
local shared = { 1 }
shows({ shared, shared }, "{{1}, {1}}", nil, "shared is no cycle")
shows({ print }, "{<function>}")
shows(setmetatable({}, { __tostring = function() return "mine" end }), "mine")
shows({ a = "x", b = { c = 1.5 } }, '{a = "x", b = {c = 1.5}}')
shows({ "aaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbb" }, '{\n  "aaaaaaaaaaaaaaaaaaa",\n  "bbbbbbbbbbbbbbbbb",\n}', 30,
    "wrapped to the width")

local many = {}
for i = 1, 1000 do many[i] = i end
local text = show(many)
tap.ok(text:find("99, 100, --[[ 900 more ]],", 1, true), "at most 100 items", text)
for line in text:gmatch("[^\n]+") do
    if #line > 80 then tap.ok(false, "wrapped to 80 columns", line) end
end
local nested = {}
for i = 1, 50 do nested[i] = { i, i, i, i, i } end
local _, count = show(nested):gsub("%d+", "")
tap.ok(count <= 130, "nested tables share the hundred items: " .. count)

-- what is shown reads back
local value = { 1, 2.5, "x\ny", a = { b = { true } }, ["c d"] = -0.0, [10] = 1e-7, ["\0"] = "\200" }
local back = load("return " .. show(value))()
tap.eq(show(back), show(value), "shown tables read back")
local deep = {}
for _ = 1, 300 do deep = { deep } end
shows(deep, "{{{{...}}}}", nil, "deep nesting")
tap.raises(function() show(setmetatable({}, { __tostring = function() error("mine", 0) end })) end, "mine",
    "an error in __tostring is an error")

tap.done()
