-- nested_test.lua -- lists and objects in cells: reading, making, mapping, printing, writing.
local cases = dofile("tests/lua/cases.lua")
local equal, fails, holds = cases.equal, cases.fails, cases.holds
local test = {}

local path = os.tmpname() .. ".jsonl"

local function read(text)
    local f = assert(io.open(path, "wb"))
    f:write(text)
    f:close()
    return load_dataset(path, { split = "train" })
end

local chat = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes \\"é\\""}], "meta": {"n": 1, "f": 0.5, "none": null, "list": [1, null, true]}}\n'

function test.reading()
    local ds = read(chat .. '{"messages": [], "meta": {}}\n{"messages": null}\n')
    equal(ds.features, { messages = "list", meta = "struct" })
    local row = ds[1]
    equal(#row.messages, 2)
    equal(row.messages[2].role, "assistant")
    equal(row.messages[2].content, 'Yes "é"')
    equal(row.meta.n, 1)
    equal(row.meta.f, 0.5)
    equal(row.meta.none, nil)
    equal(row.meta.list[1], 1)
    equal(row.meta.list[2], lorash.null)
    equal(tostring(row.meta.list[2]), "null")
    equal(row.meta.list[3], true)
    equal(ds[2], { messages = {}, meta = {} })
    equal(ds[3], {})
    fails("did you mean 'messages'", function() return row.message end)
    local n = 0
    for _, r in ds do n = n + #(r.messages or {}) end
    equal(n, 2)
    equal(#ds["messages"][1], 2)
    equal(ds:filter(function(r) return r.messages and #r.messages > 0 end).num_rows, 1)
end

function test.writing()
    local ds = read(chat .. '{"messages": [], "meta": {}}\n')
    local text = ds:to_json()
    equal(text, chat .. '{"messages": [], "meta": {}}\n')
    local same = ds:map(function(row) return row end)
    equal(same.features, ds.features)
    equal(same[1], ds[1])
    equal(same:to_json():match("%b[]"), text:match("%b[]")) -- role stands before content again
    equal(same[2].meta, {})
    holds(same:to_json(), '"messages": [], "meta": {}')
    local csv = ds:select{ 2 }:to_csv()
    equal(csv, "messages,meta\n[],{}\n")
    holds(tostring(DataFrame(ds)), '[{"role": "user"')
    local df = DataFrame(ds)
    holds(df:to_csv(), '"[{""role"": ""user""')
end

function test.making()
    local ds = Dataset.from_list{ { m = { { role = "user", content = "a" } } }, { m = { { role = "user", content = "b" } } } }
    equal(ds.features.m, "list")
    equal(ds[2].m[1].content, "b")
    equal(Dataset.from_dict{ m = { { 1, 2 }, { 3 } } }[2], { m = { 3 } })
    local df = DataFrame{ { q = "x", a = "y" } }
    df.messages = df:apply(function(row)
        return { { role = "user", content = row.q }, { role = "assistant", content = row.a } }
    end)
    equal(df.messages.dtype or df.dtypes.messages, "list")
    equal(df[1].messages[2].content, "y")
    equal(df:to_json(nil, { lines = true }),
        '{"a": "y", "q": "x", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}\n')
    df = DataFrame{ { j = '[{"role": "user", "content": "x"}]' } }:astype("j", "json")
    equal(df[1].j[1].role, "user")
    fails("'j' as json: row 1: as JSON", function() DataFrame{ { j = "[1" } }:astype("j", "json") end)
    local loop = {}
    loop.loop = loop
    fails("nested deeper", Dataset.from_list, { { x = loop } })
    fails("names and numbered values at once", Dataset.from_list, { { x = { 1, a = 2 } } })
    fails("with holes", Dataset.from_list, { { x = { 1, nil, 3, nil, 5 } } })
    fails("a table with the key", Dataset.from_list, { { x = { [0.5] = 1 } } })
    fails("is not UTF-8", Dataset.from_list, { { x = { "\xFF" } } })
    fails("a function", Dataset.from_list, { { x = { a = print } } })
    fails("got json where earlier rows have int", Dataset.from_list, { { x = 1 }, { x = {} } })
    equal(Dataset.from_list{ { x = { lorash.null, 1 } } }:to_json(), '{"x": [null, 1]}\n')
    equal(Dataset.from_list{ { x = lorash.null }, { x = 1 } }[2], { x = 1 })
end

return cases.run(test, function() os.remove(path) end)
