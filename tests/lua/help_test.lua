-- Everything has its text, and help finds it.
local tap = require "tap"
local help, specs = lorash.probe.help, lorash.probe.specs

-- no class, method, property, function or option without a text
local rows, missing = specs(), {}
for _, row in ipairs(rows) do
    local bad = not row.doc or #row.doc < 8 or not row.signature or row.signature == ""
    if bad then missing[#missing + 1] = row.kind .. "." .. row.name end
end
tap.ok(#missing == 0, #rows .. " entries have a text and a signature", table.concat(missing, ", "))
tap.ok(#rows >= 2, "there are entries")

-- every entry is found by name
local lost = {}
for _, row in ipairs(rows) do
    local name = row.name
    if row.kind ~= "class" and row.kind ~= "function" and rawget(lorash, row.kind) then
        name = row.kind .. "." .. name
    end
    local ok, text = pcall(help, name)
    if not ok or not text:find(row.name, 1, true) then lost[#lost + 1] = name .. ": " .. tostring(text) end
end
tap.ok(#lost == 0, "help finds every entry", table.concat(lost, "\n"))

-- every public name of the table lorash has a page
for name, value in pairs(lorash) do
    if type(value) == "function" then
        local ok, text = pcall(help, name)
        tap.ok(ok and text:find("(", 1, true) and not text:find("nothing more", 1, true), "help for " .. name, text)
    end
end

local all = help("")
for name, value in pairs(lorash) do
    if type(value) == "function" or getmetatable(value) == name then
        tap.ok(all:find("  " .. name, 1, true), "help() lists " .. name)
    end
end
tap.raises(function() help("hepl") end, "nothing is called 'hepl'; did you mean 'help'?")
tap.raises(function() help("True") end, "in Lua write true")
tap.ok(help("print"):find("function of Lua", 1, true), "Lua's own functions are named as such")
tap.ok(help("fmt"):find("fmt(template, row)", 1, true), "the Lua half has pages")
some_value = 5
tap.eq(help("some_value"), "some_value is 5\n", "a variable is described")

-- a misspelt option is refused, and the right one suggested
local tables = {}
for _, row in ipairs(rows) do tables[row.kind] = tables[row.kind] or {} end
local tried, wrong = 0, {}
for _, row in ipairs(rows) do
    local ok, canonical = pcall(lorash.probe.find_option, row.kind, row.name)
    if ok and canonical == row.name then
        for i = 2, #row.name - 1 do -- change, drop, double, swap a letter
            local name = row.name
            local made = {
                name:sub(1, i - 1) .. "q" .. name:sub(i + 1), name:sub(1, i - 1) .. name:sub(i + 1),
                name:sub(1, i) .. name:sub(i, i) .. name:sub(i + 1),
                name:sub(1, i - 1) .. name:sub(i + 1, i + 1) .. name:sub(i, i) .. name:sub(i + 2),
            }
            for _, misspelt in ipairs(made) do
                local found, message = lorash.probe.find_option(row.kind, misspelt)
                if misspelt ~= name and not found then
                    tried = tried + 1
                    if not message:find("did you mean '" .. name .. "'", 1, true) and #name > 4 then
                        wrong[#wrong + 1] = misspelt .. " -> " .. message
                    end
                end
            end
        end
    end
end
tap.ok(#wrong <= tried // 50, tried .. " misspelt options are refused with the right suggestion",
    table.concat(wrong, "\n", 1, math.min(#wrong, 10)))

tap.done()
