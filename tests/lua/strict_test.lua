-- Undefined globals, Python's names, texts: errors that say what to type.
local tap = require "tap"

local function reading(name)
    return function() return _G[name] end
end

tap.raises(reading "srting", "undefined global 'srting'; did you mean 'string'?")
tap.raises(reading "pritn", "did you mean 'print'?")
tap.raises(reading "elsif", "did you mean 'elseif'?")
tap.raises(reading "xyzzyxyzzy", "undefined global 'xyzzyxyzzy'")
for name, instead in pairs {
    True = "true", False = "false", None = "nil", null = "nil", len = "#x", range = "for i = 1, n",
    str = "tostring", int = "math.tointeger", float = "tonumber", enumerate = "ipairs",
    import = "require", lambda = "function(x)", isinstance = "type(x)", np = "Tensor",
} do
    tap.raises(reading(name), "undefined global '" .. name .. "'; ", name .. " is answered")
    local _, message = pcall(reading(name))
    tap.ok(message:find(instead, 1, true), name .. " leads to " .. instead, message)
end

tap.eq(_G._unset, nil, "names with an underscore read as nil")
new_global = 5
tap.eq(new_global, 5, "an assigned global is there")
new_global = nil
tap.raises(reading "new_global", "undefined global", "and gone after nil")
tap.eq(rawget(_G, "nothing_here"), nil, "rawget asks without an error")

-- texts
tap.raises(function() return ("x"):uper() end, "a text has no method 'uper'; did you mean 'upper'?")
tap.raises(function() return ("x")[0] end, "a text is not indexed with 0")
tap.raises(function() return ("x"):strip() end, "s:match")
tap.raises(function() return ("x"):split(",") end, "s:gmatch")
tap.eq(("x"):rep(3), "xxx", "methods of texts work")
tap.eq(string.nothing, nil, "the string library itself answers nil")
string.twice = function(s) return s .. s end
tap.eq(("ab"):twice(), "abab", "the user's own text methods work")

-- no bytecode
tap.eq(string.dump, nil, "no string.dump")
local chunk, message = load("\27Lua" .. ("\0"):rep(60), "b", "b")
tap.eq(chunk, nil, "bytecode is refused by load")
tap.ok(message:find("binary", 1, true), "and the message says so", message)
tap.eq(load("return 1 + 1")(), 2, "load takes text")
tap.eq(load("return x", "c", "bt", { x = 3 })(), 3, "load keeps its environment")
tap.eq(load(function() return nil end) ~= nil, true, "load takes a function")
local path = os.tmpname()
local f = io.open(path, "wb")
f:write("\27Lua", ("\0"):rep(60))
f:close()
tap.eq(loadfile(path), nil, "bytecode is refused by loadfile")
tap.raises(function() dofile(path) end, "binary", "bytecode is refused by dofile")
f = io.open(path, "wb")
f:write("return 7, ...")
f:close()
tap.eq(dofile(path), 7, "dofile runs text")
tap.eq(loadfile(path)(), 7, "loadfile loads text")
os.remove(path)

-- require
tap.eq(require "tap" == tap, true, "the recipe's folder is searched")
tap.ok(not package.path:find("./?.lua", 1, true) or arg[0]:sub(1, 2) == "./" or not arg[0]:find("/"),
    "the current folder is not", package.path)
tap.raises(function() require "no.such.module" end, "module 'no.such.module' not found")
tap.eq(require "lorash" == lorash, true, "lorash is a module")

-- numbers as text
tap.eq(tostring(0.1), "0.1")
tap.eq(tostring(2 ^ 53), "9007199254740992.0")
tap.eq(tostring(1e100), "1e+100")
tap.eq(tostring(1 / 3), "0.3333333333333333")
tap.eq(tostring(10 // 1), "10")
tap.eq(tostring(10 / 2), "5.0")
tap.eq(tostring(-0.0), "-0.0")
tap.eq(tostring(math.huge), "inf")

tap.done()
