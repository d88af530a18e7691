-- group_test.lua -- df:groupby(...):agg{...}: order, nulls, every aggregation, mistakes.
local cases = dofile("tests/lua/cases.lua")
local equal, fails, holds, near = cases.equal, cases.fails, cases.holds, cases.near
local test = {}

local df = DataFrame{
    { k = "b", g = 1, x = 1.5, n = 3, t = "one", f = true },
    { k = "a", g = 1, x = 2.5, n = 4, t = "two", f = false },
    { k = "b", g = 2, x = 0 / 0, n = 5, t = "one" },
    { k = "b", g = 1, n = 7, f = true },
    { g = 1, x = 9.0, n = 9, t = "lost" },
    { k = "a", g = 1, x = 4.0, n = 6, t = "six", f = true },
}

function test.order()
    local g = df:groupby("k")
    equal(#g, 2)
    equal(tostring(g), "GroupBy { 2 groups of 6 rows by k }")
    equal(g:size():to_dict("records"), { { k = "a", size = 2 }, { k = "b", size = 3 } })
    local both = df:groupby{ "g", "k" }:agg{ n = "sum" }
    equal(both.columns, { "g", "k", "n" })
    equal(both:to_dict("records"), { { g = 1, k = "a", n = 10 }, { g = 1, k = "b", n = 10 }, { g = 2, k = "b", n = 5 } })
    equal(#DataFrame{ { k = "x" } }:where("k = 'y'"):groupby("k"), 0)
    equal(DataFrame{ { k = "x", v = 1 } }:where("k = 'y'"):groupby("k"):agg{ v = "mean" }.shape, { 0, 2 })
end

local function values(how, column)
    local out = df:groupby("k"):agg{ [column] = how }
    return { out[1][column], out[2][column] }, out.dtypes[column]
end

function test.aggregations()
    local function check(how, column, wanted, dtype)
        local found, found_type = values(how, column)
        equal(found, wanted)
        equal(found_type, dtype)
    end
    check("size", "x", { 2, 3 }, "int")
    check("count", "x", { 2, 1 }, "int") -- null and NaN do not count
    check("sum", "n", { 10, 15 }, "int")
    check("sum", "x", { 6.5, 1.5 }, "float")
    check("sum", "f", { 1, 2 }, "int")
    check("mean", "n", { 5.0, 5.0 }, "float")
    check("mean", "x", { 3.25, 1.5 }, "float")
    check("median", "n", { 5.0, 5.0 }, "float")
    check("min", "n", { 4, 3 }, "int")
    check("max", "t", { "two", "one" }, "str")
    check("first", "t", { "two", "one" }, "str")
    check("last", "t", { "six", "one" }, "str")
    check("nunique", "t", { 2, 1 }, "int")
    check("list", "n", { { 4, 6 }, { 3, 5, 7 } }, "list")
    check("list", "t", { { "two", "six" }, { "one", "one", lorash.null } }, "list")
    check(function(list) return table.concat(list, "+") end, "t", { "two+six", "one+one" }, "str")
    check(function(list) return #list end, "x", { 2, 2 }, "int")
    near(values("std", "n")[1], math.sqrt(2), 1e-12)
    near(values("std", "n")[2], 2, 1e-12)
    equal(values("std", "x")[2], nil)
    local many = df:groupby("k"):agg{ n = { "sum", "mean" }, x = "max" }
    equal(many.columns, { "k", "n_sum", "n_mean", "x" })
    equal(df:groupby("k"):agg{ k = "count" }.columns, { "k", "k_2" })
end

function test.chats()
    local turns = DataFrame{
        { id = 1, role = "user", content = "a" }, { id = 2, role = "user", content = "c" },
        { id = 1, role = "assistant", content = "b" },
    }
    turns.message = turns:apply(function(r) return { role = r.role, content = r.content } end)
    local chats = turns:groupby("id"):agg{ message = "list" }:rename{ message = "messages" }
    equal(#chats[1].messages, 2)
    equal(chats[1].messages[2].role, "assistant")
end

function test.merge()
    local a = DataFrame{ { k = 1, v = "a" }, { k = 2, v = "b" }, { k = 2, v = "c" }, { v = "d" } }
    local b = DataFrame{ { k = 2, w = 20 }, { k = 3, w = 30 }, { k = 2, w = 21 } }
    equal(a:merge(b):to_dict("records"), { { k = 2, v = "b", w = 20 }, { k = 2, v = "b", w = 21 },
        { k = 2, v = "c", w = 20 }, { k = 2, v = "c", w = 21 } })
    local left = a:merge(b, { on = "k", how = "left" })
    equal(#left, 6)
    equal(left[1], { k = 1, v = "a" })
    equal(left[6], { v = "d" })
    local outer = a:merge(b, { how = "outer" })
    equal(#outer, 7)
    equal(outer[7], { k = 3, w = 30 })
    local c = DataFrame{ { key = 1, v = 7 } }
    local both = a:merge(c, { left_on = "k", right_on = "key" })
    equal(both.columns, { "k", "v_x", "v_y" })
    equal(both[1], { k = 1, v_x = "a", v_y = 7 })
    equal(DataFrame{ { k = 1.0, x = 1 } }:merge(b:where("k = 9"), { on = "k" }).shape, { 0, 3 })
    equal(#a:merge(DataFrame{ { w = 5 } }:merge(DataFrame{ { k = lorash.null, w = 5 } }), { on = "k" }), 1)
    fails("no column of one name", a.merge, a, DataFrame{ { z = 1 } })
    fails("did you mean 'k'", a.merge, a, b, { on = "kk" })
    fails("go together", a.merge, a, b, { left_on = "k" })
    fails("inner", a.merge, a, b, { how = "cross" })
    fails("is int in one part and str", a.merge, a, DataFrame{ { k = "x" } })
    fails("merge wants a DataFrame", a.merge, a, 5)
end

function test.mistakes()
    fails("groupby wants columns", df.groupby, df)
    fails("did you mean 'k'", df.groupby, df, "kk")
    local g = df:groupby("k")
    fails("agg wants a table", g.agg, g, "mean")
    fails("aggregation 'meen' is unknown", g.agg, g, { n = "meen" })
    fails("did you mean 'mean'", g.agg, g, { n = "meen" })
    fails("mean of a column of type str", g.agg, g, { t = "mean" })
    fails("has no column 'nn'", g.agg, g, { nn = "mean" })
    fails("wanted \"mean\"", g.agg, g, { n = 5 })
    fails("wanted names of aggregations", g.agg, g, { n = { 5 } })
    fails("is over 64 bits", function()
        return DataFrame{ { k = 1, v = math.maxinteger }, { k = 1, v = 1 } }:groupby("k"):agg{ v = "sum" }
    end)
    fails("oh", g.agg, g, { n = function() error("oh") end })
end

return cases.run(test)
