-- tap.lua -- the few checks the Lua tests need, printing TAP.
local tap = { count = 0, failed = 0 }

local function show(value)
    return lorash.probe.show(value)
end

function tap.ok(condition, name, more)
    tap.count = tap.count + 1
    if not condition then tap.failed = tap.failed + 1 end
    print((condition and "ok " or "not ok ") .. tap.count .. " - " .. name:gsub("[\n#]", " "))
    if not condition and more then print("# " .. more:gsub("\n", "\n# ")) end
    return condition
end

-- Equal as shown: tables are compared by what they hold.
function tap.eq(found, wanted, name)
    local f, w = show(found), show(wanted)
    return tap.ok(f == w, name or w, "found  " .. f .. "\nwanted " .. w)
end

-- f raises an error that holds the text (plain, no pattern).
function tap.raises(f, text, name)
    local ok, err = pcall(f)
    if ok then return tap.ok(false, name or text, "no error") end
    err = type(err) == "table" and err.message or tostring(err)
    return tap.ok(err:find(text, 1, true) ~= nil, name or text, "found  " .. err .. "\nwanted " .. text)
end

function tap.skip(name, why)
    tap.count = tap.count + 1
    print(("ok %d - %s # SKIP %s"):format(tap.count, name, why))
end

function tap.done()
    print("1.." .. tap.count)
    os.exit(tap.failed == 0 and tap.count > 0)
end

return tap
