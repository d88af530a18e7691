-- files_test.lua -- where data sets come from: formats, folders, patterns, the hub cache; and how
-- they are written as JSON.
local cases = dofile("tests/lua/cases.lua")
local equal, fails, holds = cases.equal, cases.fails, cases.holds
local test = {}

local folder = os.tmpname()
os.remove(folder)

local function write(name, text)
    local path = folder .. "/" .. name
    os.execute(("mkdir -p '%s'"):format(path:match("^(.*)/")))
    local f = assert(io.open(path, "wb"))
    f:write(text)
    f:close()
    return path
end

local function names(ds) return table.concat(ds.column_names, " ") end

function test.formats()
    local array = write("a.json", '[{"a": 1, "b": "x"}, {"a": 2.5, "c": true}]')
    local lines = write("a.jsonl", '{"a": 1, "b": "x"}\n\n{"a": 2.5, "c": true}\n')
    for _, path in ipairs{ array, lines } do
        local ds = load_dataset(path, { split = "train" })
        equal(names(ds), "a b c")
        equal(ds.features, { a = "float", b = "str", c = "bool" })
        equal(ds[1], { a = 1.0, b = "x" })
        equal(ds[2], { a = 2.5, c = true })
        equal(#load_dataset("json", { data_files = path, split = "train" }), 2)
    end
    equal(load_dataset("json", { data_files = write("dict.json", '{"a": [1, 2], "b": ["x", "y"]}'), split = "train" })[2],
        { a = 2, b = "y" })
    local nested = write("squad.json", '{"version": "1", "data": [{"a": 1}], "more": [{"b": 1}]}')
    equal(load_dataset("json", { data_files = nested, field = "data", split = "train" })[1], { a = 1 })
    fails('{field = "data"}', load_dataset, nested, { split = "train" })
    fails("no field 'dta'", load_dataset, nested, { split = "train", field = "dta" })
    local text = write("a.txt", "one\ntwo\n\nthree")
    equal(load_dataset(text, { split = "train" })["text"], { "one", "two", "", "three" })
    equal(#load_dataset("text", { data_files = text, sample_by = "paragraph", split = "train" }), 2)
    equal(load_dataset("text", { data_files = text, sample_by = "document", split = "train" })[1].text,
        "one\ntwo\n\nthree")
    fails("wanted line, paragraph or document", load_dataset, text, { sample_by = "word" })
    fails("gunzip -k", load_dataset, write("a.json.gz", "\x1F\x8B"))
    fails("this is gzip data", load_dataset, write("b.json", "\x1F\x8B\x08"))
    fails("line 2, column 9", load_dataset, write("bad.jsonl", '{"a": 1}\n{"a": 2 "b"}\n'))
    fails("row 2, column 'a': text, but an integer in row 1", load_dataset, write("mixed.jsonl", '{"a": 1}\n{"a": "x"}\n'))
    equal(load_dataset(folder .. "/mixed.jsonl", { infer = false, split = "train" })["a"], { "1", "x" })
end

function test.places()
    for _, name in ipairs{ "train", "test" } do
        write("set/" .. name .. ".csv", "a\n1\n2\n3\n4\n")
    end
    write("set/README.md", "# no front matter")
    local set = folder .. "/set"
    local all = load_dataset(set)
    equal(#all.train, 4)
    equal(#all.test, 4)
    equal(load_dataset(set, { split = "train[:50%]+test[-1:]" })["a"], { 1, 2, 4 })
    equal(#load_dataset(set, { split = " train + test " }), 8)
    equal(#load_dataset(set, { data_files = "*.csv", split = "train" }), 8)
    equal(#load_dataset(set .. "/*.csv", { split = "train" }), 8)
    equal(#load_dataset("csv", { data_dir = set, split = "test" }), 4)
    equal(#load_dataset("csv", { data_files = { train = set .. "/t*.csv" } }).train, 8)
    fails("no file matches", load_dataset, "csv", { data_files = set .. "/*.json" })
    fails("there is no split 'dev'", load_dataset, set, { split = "dev" })
    fails("no data file", load_dataset, (write("nothing/LICENSE", "x"):gsub("/LICENSE", "")))
    fails("no configuration 'en'", load_dataset, (write("cards/README.md", "---\nconfigs:\n- config_name: de\n  data_files: a.csv\n---\n"):gsub("/README.md", "")), "en")
    write("cards/a.csv", "a\n1\n")
    equal(load_dataset(folder .. "/cards", "de", { split = "train" })[1], { a = 1 })
    fails("is no name of a split", load_dataset, "csv", { data_files = { ["a b"] = set .. "/train.csv" } })
    fails("wanted a path", load_dataset, "csv", { data_files = { 5 } })
    fails("wanted csv, json or text", load_dataset, "parquet", { data_files = "x" })
    write("uneven/a.csv", "a\n1\n")
    write("uneven/b.csv", "a,b\n1,2\n")
    fails("b.csv has a column 'b' that", load_dataset, folder .. "/uneven")
    fails("there is no file or folder", load_dataset, folder .. "/nowhere")
    fails("~ is not expanded", load_dataset, "~/rows")
end

function test.writing()
    local df = DataFrame{ { a = 1, b = "x", c = 0.5 }, { a = 2, b = "é\n", c = 2e-5 } }
    local lines = '{"a": 1, "b": "x", "c": 0.5}\n{"a": 2, "b": "é\\n", "c": 2e-05}\n'
    equal(df:to_json(nil, { orient = "records", lines = true }), lines)
    equal(df:to_json(), "[" .. lines:gsub("\n$", ""):gsub("\n", ",\n") .. "]\n")
    equal(df:to_json(nil, { orient = "list" }), '{"a": [1, 2],\n"b": ["x", "é\\n"],\n"c": [0.5, 2e-05]}\n')
    df:to_json(folder .. "/out.jsonl")
    equal(io.open(folder .. "/out.jsonl"):read("a"), lines)
    local ds = Dataset.from_pandas(df)
    equal(ds:to_json(), lines)
    ds:to_json(folder .. "/out.json")
    equal(read_json(folder .. "/out.json")[2], df[2])
    equal(read_json(folder .. "/out.json", { lines = true })[1], df[1])
    equal(Dataset.from_json(folder .. "/out.jsonl")[2], df[2])
    fails("orient", df.to_json, df, nil, { orient = "split" })
    fails('wants orient = "records"', df.to_json, df, nil, { orient = "list", lines = true })
    fails("row 1, column 'a' is no UTF-8", function() DataFrame{ { a = "\xFF" } }:to_json() end)
    fails("cannot", df.to_json, df, folder .. "/none/x.json")
end

return cases.run(test, function() os.execute("rm -rf " .. folder) end)
