-- Tab: what is offered, and that nothing of the user's runs.
local tap = require "tap"
local complete = lorash.probe.complete

local function offers(text, ...)
    local names, start = complete(text)
    for _, wanted in ipairs { ... } do
        local found = false
        for _, name in ipairs(names) do found = found or name == wanted end
        tap.ok(found, text .. " offers " .. wanted, table.concat(names, " "))
    end
    return names, start
end

offers("pri", "print(")
offers("string.u", "upper(", "unpack(")
offers("string.", "format(", "rep(")
offers("x = math.ab", "abs(")
offers("print(strin", "string")
offers("whi", "while ")
offers("PRI", "print(") -- case is forgiven when nothing else fits
book = { title = "x", pages = 3, read = function() end, inner = { deep = { deeper = 1 } } }
offers("book.", "title", "pages", "read(", "inner")
offers("book.inner.deep.", "deeper")
local names = complete("book:")
tap.eq(names, { "read(" }, "after a colon only functions")
title = "text"
offers("title:up", "upper(")
local child = setmetatable({ own = 1 }, { __index = { inherited = 2 } })
kid = child
offers("kid.", "own", "inherited")
tap.eq(select(2, complete("x = book.ti")), 10, "the word begins after the dot")
tap.eq(complete("-- pri"), {}, "nothing in a comment")
tap.eq(complete("book[1]."), {}, "nothing after an index")
tap.eq(complete("f()."), {}, "nothing after a call")
tap.eq(complete("nothing_here."), {}, "nothing for what does not exist")
_G["odd name"] = 1
for _, name in ipairs((complete("o"))) do
    if name:find("odd", 1, true) then tap.ok(false, "names that are no identifiers are left out") end
end
offers('x = "' .. "Makef", 'Makefile"')

-- our own classes: methods, properties, columns, options, choices
table_of = DataFrame{ Name = { "a" }, ["Product Name"] = { "b" }, n = { 1 } }
offers("table_of:he", "head(")
offers("table_of.", "Name", "n", "columns", "shape")
tap.eq(select(2, complete("table_of:he")), 10, "the word after a colon")
for _, name in ipairs((complete("table_of."))) do
    if name:find("Product", 1, true) then tap.ok(false, "a column with a blank does not follow a dot") end
end
offers('table_of["', 'Name"]', 'Product Name"]')
tap.eq(complete('table_of["Pro'), { 'Product Name"]' }, "columns in brackets")
offers('load_dataset("csv", {', "data_files = ", "split = ")
tap.eq(complete('load_dataset("x.csv", {data_files = "y", sp'), { "split = " }, "options after a comma")
tap.eq(complete('load_dataset("x.csv", {data_files = {"y", sp'), {}, "not in a table within")
offers("table_of:sort_values('n', {asc", "ascending = ")
offers('AutoTokenizer.from_pretrained("x", {padding_side = "', 'left"', 'right"')
offers("AutoTokenizer.", "from_pretrained(")
offers("DataF", "DataFrame(")

-- booby traps: nothing may run
local ran = {}
local function trap(name)
    return function() ran[#ran + 1] = name error("ran " .. name) end
end
trapped = setmetatable({ real = 1 }, {
    __index = trap "index", __newindex = trap "newindex", __pairs = trap "pairs", __len = trap "len",
    __call = trap "call", __tostring = trap "tostring", __eq = trap "eq", __name = "x",
})
deeper = { t = trapped }
for _ = 1, 50 do setmetatable({}, { __gc = function() ran[#ran + 1] = "gc" end }) end
local lines = {
    "trapped.real", "trapped.other.more", "trapped:method(", "trapped['key'].x", "deeper.t.real",
    "print(trapped.re", "trapped(1).x", 'trapped["re', "#trapped.r", "x = { trapped.r",
    "dataset = load_dataset(trapped.x, {split = trapped.y", "for k in pairs(trapped.x) do trapped.r",
}
collectgarbage("stop")
ran = {}
for _, line in ipairs(lines) do
    for i = 0, #line do complete(line:sub(1, i)) end
end
tap.eq(ran, {}, "no metamethod and no finaliser runs at any prefix")
collectgarbage("restart")
local names2 = complete("trapped.re")
tap.eq(names2, { "real" }, "raw keys of a trapped table are still offered")

-- a large table is cut, not walked for ever
huge = {}
for i = 1, 100000 do huge["key" .. i] = i end
tap.ok(#(complete("huge.key")) <= 400, "a large table is cut")
huge = nil
local loop = {}
setmetatable(loop, { __index = loop })
loops = loop
complete("loops.x")
tap.ok(true, "a circle of tables ends")

tap.done()
