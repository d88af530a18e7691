-- cases.lua -- tests as functions of a table, each one line of TAP; checks raise on failure.
local cases = {}

local function same(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then return a == b and math.type(a) == math.type(b) end
    for k, v in pairs(a) do
        if not same(v, rawget(b, k)) then return false end
    end
    for k in pairs(b) do
        if rawget(a, k) == nil then return false end
    end
    return true
end

local function show(v)
    if type(v) ~= "table" then return type(v) == "string" and ("%q"):format(v) or tostring(v) end
    local out = {}
    for k, x in pairs(v) do out[#out + 1] = tostring(k) .. " = " .. show(x) end
    table.sort(out)
    return "{" .. table.concat(out, ", ") .. "}"
end

-- Same kind and value; tables by what they hold, integers apart from floats.
function cases.equal(found, wanted)
    if not same(found, wanted) then error("found " .. show(found) .. ", wanted " .. show(wanted), 2) end
end

function cases.near(found, wanted, limit)
    if not (math.abs(found - wanted) <= limit) then error("found " .. found .. ", wanted " .. wanted, 2) end
end

function cases.holds(text, part)
    if not tostring(text):find(part, 1, true) then error(("'%s' does not hold '%s'"):format(text, part), 2) end
end

-- f(...) raises an error that holds the text (plain, no pattern).
function cases.fails(wanted, f, ...)
    local ok, message = pcall(f, ...)
    if ok then error("no error, wanted: " .. wanted, 2) end
    cases.holds(message, wanted)
end

local skipped = {}
function cases.skip(why) error(setmetatable({ why = why }, skipped)) end

-- Runs every function of the table, sorted by name, then 'after', and ends the program.
function cases.run(tests, after)
    local names, failed = {}, 0
    for name in pairs(tests) do names[#names + 1] = name end
    table.sort(names)
    print("1.." .. #names)
    for i, name in ipairs(names) do
        local ok, err = xpcall(tests[name], function(e)
            return getmetatable(e) == skipped and e or debug.traceback(tostring(e), 2)
        end)
        if ok then
            print(("ok %d - %s"):format(i, name))
        elseif type(err) == "table" then
            print(("ok %d - %s # SKIP %s"):format(i, name, err.why))
        else
            failed = failed + 1
            print(("not ok %d - %s\n# %s"):format(i, name, err:gsub("\n", "\n# ")))
        end
    end
    if after then after() end
    os.exit(failed == 0 and #names > 0)
end

return cases
