-- text.lua -- putting values into texts.
local lib = {}

-- Finds {name} and {name:spec} in a template. {{ and }} stand for the braces themselves.
local function fmt(template, row)
    if type(template) ~= "string" then
        error("fmt wants a text, found " .. type(template) .. '; hint: fmt("{name}", row)', 0)
    end
    local out, at = {}, 1
    local function missing(name)
        local names = {}
        if type(row) == "table" then
            for key in pairs(row) do names[#names + 1] = tostring(key) end
            table.sort(names)
        end
        local have = #names > 0 and "; hint: there is " .. table.concat(names, ", ", 1, math.min(#names, 20)) or ""
        error(("fmt: nothing is called '%s'%s"):format(name, have), 0)
    end
    local function value(inside)
        local name, spec = inside:match("^(.-):([^:]*)$")
        if not name then name, spec = inside, nil end
        local key = math.tointeger(tonumber(name)) or name
        local found
        if row ~= nil then found = row[key] end
        if found == nil then missing(name) end
        if not spec or spec == "" then return tostring(found) end
        if not spec:match("^[%-+ #0]*%d*%.?%d*[a-zA-Z]?$") then
            error(("fmt: '{%s}' is no format; hint: {name:.2f}, {name:5d}, {name:>s}"):format(inside), 0)
        end
        if not spec:match("%a$") then spec = spec .. "s" end
        return ("%" .. spec):format(spec:match("s$") and tostring(found) or found)
    end
    while true do
        local brace = template:find("[{}]", at)
        out[#out + 1] = template:sub(at, brace and brace - 1)
        if not brace then return table.concat(out) end
        local pair = template:sub(brace, brace + 1)
        if pair == "{{" or pair == "}}" then
            out[#out + 1] = pair:sub(1, 1)
            at = brace + 2
        else
            local close = pair:sub(1, 1) == "{" and template:find("}", brace, true)
            if not close then
                error("fmt: a single brace at byte " .. brace .. "; hint: write {{ or }} for a brace", 0)
            end
            out[#out + 1] = value(template:sub(brace + 1, close - 1))
            at = close + 1
        end
    end
end

lib.fmt = {
    call = fmt,
    signature = 'fmt(template, row)',
    doc = 'Puts the fields of row into the template: fmt("{Name}: {Price:.2f}", row). A format after the '
        .. 'colon is that of string.format; {{ and }} are braces; {1} is a position. A missing field is '
        .. 'an error that lists the fields.',
}

return lib
