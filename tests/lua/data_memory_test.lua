-- data_memory_test.lua -- memory runs out at every point of loading and of each verb: an error, and
-- the same work succeeds afterwards. (A sanitizer build also sees what was lost.)
local tap = require "tap"
local probe = lorash.probe

local path = os.tmpname()
local f = assert(io.open(path, "w"))
f:write("Code,Name,Price\n")
for i = 1, 12 do f:write(i, ",name ", i % 3, ",", i / 4, "\n") end
f:close()

local df = read_csv(path)
local works = {
    load = function() return load_dataset("csv", { data_files = { path, path }, split = "train[:50%]" }) end,
    frame = function() return DataFrame{ { a = 1, b = "x" }, { a = 2.5 } } end,
    columns = function() return DataFrame{ a = { 1, 2 }, b = { "x", "y" } } end,
    apply = function() return df:apply(function(row) return row.Name .. row.Code end) end,
    map = function() return Dataset.from_pandas(df):map(function(row) return { T = row.Name, Code = 1 } end) end,
    where = function() return df:where("Code > 3 and Name contains '1'"), df:where(function(row) return row.Code > 3 end) end,
    verbs = function()
        return df:rename{ Name = "N" }:drop("Price"):sort_values("N"):drop_duplicates("N"):describe()
    end,
    math = function() return (df.Code * 2 + df.Price):sum(), df.Name:upper():unique(), df.Code:gt(2) & df.Price:lt(2) end,
    text = function() return tostring(df), df:to_string{ width = 60 }, df:to_csv() end,
    split = function() return Dataset.from_pandas(df):train_test_split{ test_size = 3, seed = 1 } end,
    assign = function()
        local d = df:copy()
        d.New = 1
        d.Other = function(row) return row.Code end
        d.Third = d.Code / 2
        return d
    end,
}

local names = {}
for name in pairs(works) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
    for _, for_good in ipairs{ false, true } do
        local n, seen, failed, why = 0, 0, 0, nil
        repeat
            n = n + 1
            probe.fail_at(n, for_good)
            local ok, err = pcall(works[name])
            seen = probe.fail_at(0)
            failed = failed + (ok and 0 or 1)
            if not ok and not tostring(err):find("memory", 1, true) then why = n .. ": " .. tostring(err) end
        until seen < n or why or n > 20000
        local again, err = pcall(works[name])
        tap.ok(seen < n and not why and failed > 3 and again,
            ("%s: %d allocations made to fail, %d seen as errors"):format(name, n - 1, failed), why or tostring(err))
    end
end
collectgarbage()
os.remove(path)
tap.done()
