-- What a cell compiles to: results, continuation, local at the prompt, pasted prompts.
local tap = require "tap"
local compile, clean = lorash.probe.compile, lorash.probe.clean

local function gives(text, wanted, name)
    local state, f = compile(text)
    if not tap.ok(state == "ready", (name or text) .. " compiles", tostring(f)) then return end
    tap.eq({ f() }, wanted, name or text)
end

local function state(text, wanted)
    tap.eq((compile(text)), wanted, text)
end

gives("1 + 1", { 2 })
gives("1, nil, 3", { 1, nil, 3 })
gives("a1 = 1; a1", { 1 }, "the last expression after statements")
gives("a1 = 2 a1", { 2 }, "without a semicolon")
gives("a1 = 3\na1", { 3 }, "on a line of its own")
gives("a1 = 4; a1, a1 + 1", { 4, 5 })
gives("t1 = {5}; #t1", { 1 })
gives("t1 = {5}\n#t1", { 1 })
gives("t1 = {6}; t1[1]", { 6 })
gives("s1 = 'x'; s1:rep(3)", { "xxx" })
gives("x1 = 1; not x1", { false })
gives("for i = 1, 3 do s1 = i end s1", { 3 })
gives("if true then s1 = 9 end; s1", { 9 })
gives("function f1() return 8 end f1()", { 8 })
gives("function f1() return 7 end; f1()", { 7 })
gives("x1 = 1; -x1", { -1 })
gives("x1 = 5; (x1)", { 5 })
gives("x1 = {f = function(s) return s end}\nx1.f 'text'", { "text" })
gives("f1 = function() return function(x) return x end end\nx1 = f1\n()(3)", {}, "a call over two lines stays one")
gives("return 5", { 5 })
gives("return", {})
gives("x1 = 1", {})
gives("-- only a comment", {})
gives("1 -- one", { 1 })
gives("'-- no comment'", { "-- no comment" })
gives("[[a\nb]]", { "a\nb" })

for _, text in ipairs {
    "for i = 1, 3 do", "function f()", "x = {", "f(", "if x then", "x = [[", "x =", "repeat",
    "x = 1; y = {", "print('a'", "--[[ open", "a.b.", "local x =", "1 +", "#", "f{1,", "not", "-", "(1", "x.y +",
} do
    state(text, "unfinished")
end
for _, text in ipairs { "x = = 1", "end", "x = 'open", "x = \"a\nb\"", "1 2", "if x != 1 then", "f(x, a = 1)", "x += 1", "}" } do
    state(text, "wrong")
end

for text, message in pairs {
    ["1 + 2 3"] = "unexpected '3'", ["x.y + 1 2"] = "unexpected '2'", ["x = = 1"] = "unexpected symbol near '='",
    ["x y = y"] = "syntax error near 'y'", ["'a' 'b'"] = "unexpected ''b''", ["f(a))"] = "near ')'",
} do
    local kind, found = compile(text)
    tap.ok(kind == "wrong" and found:find(message, 1, true), text .. ": " .. message, tostring(found))
end

local function hides(text, wanted)
    local _, _, hide = compile(text)
    tap.eq(hide, wanted, "hide " .. text)
end
hides("1;", true)
hides("1; -- quiet", true)
hides("1", false)
hides("';'", false)

-- local at the prompt
compile("local l1 = 5")
select(2, compile("local l1 = 5"))()
tap.eq(rawget(_G, "l1"), 5, "a local becomes a name of the session")
select(2, compile("local l2, l3"))()
tap.eq(rawget(_G, "l2"), nil, "a local without a value")
select(2, compile("local l2, l3 = 1, 2 local function l4() return l2 + l3 end"))()
tap.eq(l4(), 3, "local function")
select(2, compile("do local l5 = 1 end"))()
tap.eq(rawget(_G, "l5"), nil, "a local in a block stays local")
select(2, compile("function l6() local l7 = 1 return l7 end"))()
l6()
tap.eq(rawget(_G, "l7"), nil, "a local in a function stays local")
select(2, compile("local l8 <const> = 1"))()
tap.eq(rawget(_G, "l8"), nil, "<const> is kept")
gives("local l9 = 4; l9 * 2", { 8 })
select(2, compile("l10 = 'local x = 1' -- local y"))()
tap.eq(l10, "local x = 1", "texts and comments are left alone")

-- pasted sessions
tap.eq(clean("[1]> x = 1\r\n[2]> y = 2\r\n"), "x = 1\ny = 2\n")
tap.eq(clean("[12]> f(\n  1)"), "f(\n  1)")
tap.eq(clean("t[1]> 2"), "t[1]> 2", "only at line starts")
tap.eq(clean("[x]> 1"), "[x]> 1")
tap.eq(clean("\ta"), " a")
tap.eq(clean("[3]"), "[3]")

-- every prefix of a text compiles to something without a crash
local example = "local x = {a = 'b', [[c]], --[==[ d ]==] 0x1p4}; for k, v in pairs(x) do print(k .. v) end x.a"
for i = 0, #example do compile(example:sub(1, i)) end
tap.ok(true, "every prefix is read")

tap.done()
