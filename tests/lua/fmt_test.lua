-- fmt("{name:.2f}", row)
local tap = require "tap"

local row = { Name = "Flu", Price = 3.14159, ["Product Name"] = "Tea", n = 7, empty = "" }
tap.eq(fmt("{Name}: {Price:.2f}", row), "Flu: 3.14")
tap.eq(fmt("{Product Name}", row), "Tea")
tap.eq(fmt("{n:5d}|{n:05d}|{n:x}", row), "    7|00007|7")
tap.eq(fmt("{Name:10s}|{Name:-10s}|", row), "       Flu|Flu       |")
tap.eq(fmt("{Name:5}", row), "  Flu")
tap.eq(fmt("{{}} {{Name}}", row), "{} {Name}")
tap.eq(fmt("{1} {2}", { "a", "b" }), "a b")
tap.eq(fmt("no fields", nil), "no fields")
tap.eq(fmt("{empty}", row), "")
tap.eq(fmt("100% {n}", row), "100% 7")
tap.eq(fmt("", row), "")
tap.raises(function() fmt("{Nmae}", row) end, "fmt: nothing is called 'Nmae'; hint: there is Name, Price")
tap.raises(function() fmt("{x}", nil) end, "nothing is called 'x'")
tap.raises(function() fmt("{Name", row) end, "a single brace at byte 1")
tap.raises(function() fmt("a } b", row) end, "a single brace at byte 3")
tap.raises(function() fmt("{n:%d}", row) end, "is no format")
tap.raises(function() fmt(5, row) end, "fmt wants a text, found number")
tap.eq(fmt("{s}", { s = setmetatable({}, { __tostring = function() return "shown" end }) }), "shown")

tap.done()
