-- cli(): options of the recipe's own; those of an object are in tests/shell/recipe.sh.
local tap = require "tap"

local function with(words, own)
    arg = words
    arg[0] = "recipe.lua"
    return cli(nil, own)
end
local own = { csv = "default.csv", n = 3, fast = false, "csv" }

local _, o = with({}, own)
tap.eq(o, { csv = "default.csv", n = 3, fast = false }, "defaults")
_, o = with({ "--csv", "x.csv", "--n", "7", "--fast" }, own)
tap.eq(o, { csv = "x.csv", n = 7, fast = true }, "words")
_, o = with({ "--csv=x=y.csv", "--fast=false" }, own)
tap.eq(o, { csv = "x=y.csv", n = 3, fast = false }, "equals signs")
_, o = with({ "y.csv", "--n=1" }, own)
tap.eq(o, { csv = "y.csv", n = 1, fast = false }, "by position")
_, o = with({ "--fast", "y.csv" }, own)
tap.eq(o.csv, "y.csv", "a flag takes no value from what follows")
tap.raises(function() with({ "--cvs", "x" }, own) end, "unknown option '--cvs'; did you mean 'csv'?")
tap.raises(function() with({ "--n", "x" }, own) end, "--n wants a number, found 'x'")
tap.raises(function() with({ "--csv" }, own) end, "--csv wants a value")
tap.raises(function() with({ "a", "b" }, own) end, "unexpected argument 'b'")
tap.raises(function() with({ "--fast=maybe" }, own) end, "--fast wants true or false")
local ok, err = pcall(with, { "--nothing" }, own)
tap.eq(not ok and err.code, 2, "usage errors carry exit code 2")
tap.raises(function() cli(5) end, "cli wants an object with options, found 5")

tap.done()
