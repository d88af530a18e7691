-- dataset_test.lua -- load_dataset and Dataset as a person types them.
local cases = require("cases")
local equal, holds, fails = cases.equal, cases.holds, cases.fails
local test = {}

local shared = os.getenv("LORASH_SHARED") or "../shared"
local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir " .. folder))

local function write(name, text)
    local path = folder .. "/" .. name
    local f = assert(io.open(path, "w"))
    f:write(text)
    f:close()
    return path
end

local numbers = {}
for i = 1, 20 do numbers[i] = i .. ",name " .. (i % 4) .. "\n" end
local csv = write("numbers.csv", "Code,Name\n" .. table.concat(numbers))

local function load(options)
    options = options or {}
    options.data_files = options.data_files or csv
    options.split = options.split or "train"
    return load_dataset("csv", options)
end

function test.loading()
    local ds = load()
    equal(#ds, 20)
    equal(ds.num_rows, 20)
    equal(ds.column_names, { "Code", "Name" })
    equal(ds.features, { Code = "int", Name = "str" })
    equal(tostring(ds), 'Dataset { features = {"Code", "Name"}, num_rows = 20 }')
    equal(#load_dataset(csv).train, 20)
    equal(#load_dataset(csv, { split = "train" }), 20)
    equal(#load_dataset("csv", { data_files = csv }).train, 20)
    equal(#load{ data_files = { csv, csv } }, 40)
    local both = load_dataset("csv", { data_files = { train = csv, test = { csv, csv } } })
    equal(#both.train, 20)
    equal(#both.test, 40)
    equal(#load{ data_files = { train = csv, test = { csv, csv } }, split = "test" }, 40)
    equal(#load{ data_files = "numbers.csv", data_dir = folder }, 20)
    equal(load{ infer = false }.features.Code, "str")
    local tsv = write("x.tsv", "a\tb\n1\t2,3\n")
    equal(load_dataset(tsv).train[1], { a = 1, b = "2,3" })
    equal(load{ data_files = tsv }[1], { a = 1, b = "2,3" })
    equal(load{ data_files = write("semi.csv", "a;b\n1;x\n"), sep = ";" }[1], { a = 1, b = "x" })
    equal(#load{ data_files = write("head.csv", "a,b\n") }, 0)
end

function test.splits()
    local function codes(split)
        return load{ split = split }["Code"]
    end
    equal(#codes("train[:10%]"), 2)
    equal(codes("train[18:]"), { 19, 20 })
    equal(codes("train[-2:]"), { 19, 20 })
    equal(codes("train[2:4]"), { 3, 4 })
    equal(#codes("train[50%:]"), 10)
    equal(#codes("train[10:5]"), 0)
    equal(#codes("train[:1000]"), 20)
    for _, bad in ipairs{ "train[", "train[1]", "train[:x]", "", "[1:2]", "train[:200%]", "train+" } do
        fails("split", load, { split = bad })
    end
    fails("no split 'trian'; did you mean 'train'?", load, { split = "trian" })
    fails("there is no split 'test'", load, { data_files = { train = csv }, split = "test" })
end

function test.loading_errors()
    fails("wants data_files", load_dataset, "csv")
    fails("did you mean 'data_files'", load_dataset, "csv", { data_file = csv })
    fails("dataset format 'parquet' is not read yet", load_dataset, "parquet", { data_files = csv })
    fails("did you mean 'csv'", load_dataset, "cvs", { data_files = csv })
    fails("not in the hub cache", load_dataset, "org/name")
    fails("cannot open", load_dataset, "csv", { data_files = folder .. "/none.csv" })
    fails("a path and data_files at once", load_dataset, csv, { data_files = csv })
    fails("not known from its name", load_dataset, write("x.dat", "a\n1\n"))
    fails("wants a path or a list of paths", load_dataset, "csv", { data_files = {}, split = "train" })
    local bad = write("bad.csv", 'a,b\n1,"x\n')
    fails("bad.csv: row 1 (line 2): field 2: the file ends inside a quoted field", load, { data_files = bad })
    fails("is empty", load, { data_files = write("empty.csv", "") })
    fails("column 1 ('a'): byte 2 of the field (0xFF) is not UTF-8", load, { data_files = write("latin.csv", "a\nx\xFF\n") })
    fails("hint: DataFrame(dataset.train)", DataFrame, load_dataset(csv))
end

function test.batches()
    local ds = load()
    local sizes = {}
    local twice = ds:map(function(b)
        sizes[#sizes + 1] = #b.Code
        local out = {}
        for i, c in ipairs(b.Code) do out[i] = 2 * c end
        return { Twice = out }
    end, { batched = true, batch_size = 8 })
    equal(sizes, { 8, 8, 4 })
    equal(twice[20], { Code = 20, Name = ds[20].Name, Twice = 40 })
    local parts = ds:map(function(b, numbers)
        local out, from = {}, {}
        for i, name in ipairs(b.Name) do
            for word in name:gmatch("%S+") do
                out[#out + 1] = word
                from[#from + 1] = numbers[i]
            end
        end
        return { word = out, from = from }
    end, { batched = true, batch_size = 7, with_indices = true, remove_columns = ds.column_names })
    equal(#parts, 40)
    equal(parts[40].from, 20)
    local kept = ds:map(function(b) return { Code = b.Code } end, { batched = true, remove_columns = { "Code" } })
    equal(kept.features.Code, "int") -- what the function sets stays
    equal(#ds:map(function(b) return {} end, { batched = true }), 20)
    equal(#ds:map(function(b) return { x = {} } end, { batched = true, remove_columns = ds.column_names }), 0)
    local nulls = Dataset.from_list{ { a = "x" }, { b = 1 }, { a = "y" } }
    local same = nulls:map(function(b) return b end, { batched = true })
    equal(same[1], nulls[1])
    equal(same[2], nulls[2])
    equal(#same, 3)
    fails("remove_columns = ds.column_names", ds.map, ds, function(b) return { x = { 1 } } end, { batched = true })
    fails("lorash.null stands for null", ds.map, ds, function(b) return { x = { 1 }, y = { 1, 2 } } end, { batched = true })
    fails("every field is a list, found 5", ds.map, ds, function(b) return { x = 5 } end, { batched = true })
    fails("wanted a table {column = list}", ds.map, ds, function(b) return 5 end, { batched = true })
    fails("(rows 11 to 20)", ds.map, ds, function(b) if b.Code[1] == 11 then error("oh") end return {} end,
        { batched = true, batch_size = 10 })
    fails("map wants a function", ds.map, ds, nil, { batched = true })
    fails("out of range", ds.map, ds, print, { batched = true, batch_size = 0 })
end

function test.rows()
    local ds = load()
    equal(ds[1], { Code = 1, Name = "name 1" })
    equal(ds[-1].Code, 20)
    equal(ds["Code"][3], 3)
    equal(#ds["Name"], 20)
    local n = 0
    for i, row in ipairs(ds) do n = n + row.Code - i + 1 end
    equal(n, 20)
    n = 0
    for i, row in ds:rows() do n = n + row.Code - i + 1 end
    equal(n, 20)
    n = 0
    for i, row in ds do n = n + row.Code - i + 1 end
    equal(n, 20)
    fails("positions count from 1", function() return ds[0] end)
    fails("row 22 is out of range", function() return ds[22] end)
    fails("did you mean 'Name'", function() return ds.Nme end)
    fails("no column 'Cod'", function() return ds[1].Cod end)
    fails("not changed in place", function() ds.New = 1 end)
    fails("use a colon: ds:map", function() ds.map(function() end) end)
end

function test.map()
    local ds = load()
    local made = ds:map(function(row) return { Text = row.Name .. "!", Long = row.Code > 10 } end)
    equal(#made.column_names, 4)
    equal(made[12].Text, "name 0!")
    equal(made[12].Long, true)
    equal(made.features, { Code = "int", Name = "str", Text = "str", Long = "bool" })
    equal(ds.column_names, { "Code", "Name" })
    local changed = ds:map(function(row) row.Code = row.Code * 2; return row end)
    equal(changed.column_names, { "Code", "Name" })
    equal(changed[20].Code, 40)
    -- only some rows are touched: the others keep their value, new columns are null there
    local some = ds:map(function(row) return row.Code > 18 and { Code = 0, Note = "x" } or {} end)
    equal(some[18].Code, 18)
    equal(some[19], { Code = 0, Name = "name 3", Note = "x" })
    equal(some[1].Note, nil)
    local first = ds:map(function(row) return row.Code == 1 and { Code = 100, Note = "x" } or {} end)
    equal(first[1].Code, 100)
    equal(first[20].Code, 20)
    equal(first[20].Note, nil)
    equal(ds:map(function(row, i) return { At = i } end, { with_indices = true })[7].At, 7)
    equal(ds:map(function(row) return { T = "t" } end, { remove_columns = ds.column_names }).column_names, { "T" })
    equal(ds:map(function() return { Code = "text" } end).features.Code, "str")
    fails("wanted a table of fields", ds.map, ds, function() end)
    fails("(row 5)", ds.map, ds, function(row) return row.Code == 5 and error("stop") or row end)
    fails("column 'Code' got str where earlier rows have int", ds.map, ds,
        function(row) return { Code = row.Code > 3 and "a" or 1 } end)
    fails("field names are texts", ds.map, ds, function() return { 1 } end)
    equal(ds:map(function(row) return { Name = row.Name .. "!" } end, { remove_columns = ds.column_names })[1], { Name = "name 1!" })
    fails("did you mean 'remove_columns'", ds.map, ds, function(b) return b end, { remove_column = "a" })
    fails("wanted a function of a row", ds.map, ds, 3)
    fails("over 256 new columns", ds.map, ds, function(row)
        local out = {}
        for i = 1, 300 do out["c" .. i] = 1 end
        return out
    end)
end

function test.selecting()
    local ds = load()
    equal(#ds:filter(function(row) return row.Code % 2 == 0 end), 10)
    equal(#ds:filter("Code > 15 and Name = 'name 1'"), 1)
    equal(ds:select{ 3, 1, -1 }["Code"], { 3, 1, 20 })
    fails("positions count from 1", ds.select, ds, { 0 })
    equal(ds:sort("Code", { reverse = true })[1].Code, 20)
    equal(ds:sort{ "Name", "Code" }["Code"][2], 8)
    equal(ds:unique("Name"), { "name 1", "name 2", "name 3", "name 0" })
    equal(#ds:filter("Code > 100"), 0)
end

function test.shuffling()
    local ds = load()
    local a, b, c = ds:shuffle{ seed = 1 }["Code"], ds:shuffle(1)["Code"], ds:shuffle{ seed = 2 }["Code"]
    equal(a, b)
    equal(table.concat(a, " ") ~= table.concat(c, " "), true)
    table.sort(a)
    equal(a, ds["Code"])
    equal(ds:shuffle()["Code"], ds:shuffle()["Code"]) -- the session's seed
    local parts = ds:train_test_split{ test_size = 0.25, seed = 42 }
    equal(#parts.train, 15)
    equal(#parts.test, 5)
    local all = concatenate_datasets{ parts.train, parts.test }["Code"]
    table.sort(all)
    equal(all, ds["Code"])
    equal(parts.test["Code"], ds:train_test_split{ test_size = 5, seed = 42 }.test["Code"])
    local last = ds:train_test_split{ test_size = 3, shuffle = false }
    equal(last.test["Code"], { 18, 19, 20 })
    equal(last.train[1].Code, 1)
    equal(#ds:train_test_split{ test_size = 0.11, seed = 1 }.test, 3) -- rounded up
    equal(#ds:train_test_split{ test_size = 5, train_size = 5, seed = 1 }.train, 5)
    equal(#ds:train_test_split().test, 5)
    for _, bad in ipairs{ 0, 20, 1.5, -1, 100 } do
        fails("test_size", ds.train_test_split, ds, { test_size = bad })
    end
    fails("more than all", ds.train_test_split, ds, { test_size = 10, train_size = 11 })
    fails("test_size", ds.train_test_split, ds:select{ 1 })
end

function test.columns()
    local ds = load()
    equal(ds:rename_column("Name", "Who").column_names, { "Code", "Who" })
    equal(ds:remove_columns("Name").column_names, { "Code" })
    equal(ds:remove_columns{ "Name", "Code" }.column_names, {})
    equal(ds:select_columns{ "Name" }.column_names, { "Name" })
    local codes = ds["Code"]
    equal(ds:add_column("Again", codes)[3].Again, 3)
    equal(ds:add_column("One", 1)[3].One, 1)
    fails("did you mean 'Name'", ds.rename_column, ds, "Nam", "x")
    fails("two columns are called 'Code'", ds.rename_column, ds, "Name", "Code")
    fails("has a column 'Name' already", ds.add_column, ds, "Name", 1)
    fails("has 1 values, wanted 20", ds.add_column, ds, "x", { 1 })
end

function test.conversions()
    local ds = load()
    local df = ds:to_pandas()
    df.Text = df:apply(function(row) return row.Name .. row.Code end)
    local back = Dataset.from_pandas(df[{ "Text" }])
    equal(back.column_names, { "Text" })
    equal(back[20].Text, "name 020")
    equal(Dataset.from_list{ { a = 1, b = "x" }, { a = 2 } }[2], { a = 2 })
    equal(Dataset.from_dict{ a = { 1, 2 } }["a"], { 1, 2 })
    equal(#Dataset.from_csv(csv), 20)
    equal(#concatenate_datasets{ ds, ds }, 40)
    local mixed = concatenate_datasets{ Dataset.from_dict{ a = { 1 } }, Dataset.from_dict{ a = { 0.5 } } }
    equal(mixed["a"], { 1.0, 0.5 })
    fails("column 'a' is int in one part and str in part 2", concatenate_datasets,
        { Dataset.from_dict{ a = { 1 } }, Dataset.from_dict{ a = { "x" } } })
    fails("part 2 has a column 'b'", concatenate_datasets,
        { Dataset.from_dict{ a = { 1 } }, Dataset.from_dict{ b = { "x" } } })
    fails("concatenate_datasets wants a list", concatenate_datasets, {})
    fails("wanted a Dataset or DataFrame, found 3", concatenate_datasets, { 3 })
    fails("wants a DataFrame, found a Dataset", Dataset.from_pandas, ds)
    local path = folder .. "/out.csv"
    ds:to_csv(path)
    equal(load{ data_files = path }["Code"], ds["Code"])
end

function test.public_file()
    local path = shared .. "/data/counsel_chat/20200325_counsel_chat.csv"
    local f = io.open(path)
    if not f then cases.skip("no " .. path) end
    f:close()
    local ds = load{ data_files = path }
    equal(#ds, 2129)
    local text = ds:map(function(row)
        return { text = ("[INST] %s [/INST] %s "):format(row.questionText, row.answerText or "") }
    end, { remove_columns = ds.column_names })
    equal(text.column_names, { "text" })
    holds(text[1].text, "[INST] I'm going through")
    equal(#text:train_test_split{ test_size = 0.1, seed = 42 }.test, 213)
end

cases.run(test, function() os.execute("rm -r " .. folder) end)
