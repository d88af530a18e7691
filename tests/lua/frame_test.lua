-- frame_test.lua -- DataFrame and Column as a person types them.
local cases = require("cases")
local equal, near, holds, fails = cases.equal, cases.near, cases.holds, cases.fails
local test = {}

local shared = os.getenv("LORASH_SHARED") or "../shared"
local diseases = shared .. "/data/diseases_symptoms/Diseases_Symptoms.csv"

local function exists(path)
    local f = io.open(path)
    if f then f:close() end
    return f ~= nil
end

local function people()
    return DataFrame{
        { Name = "Anna", Age = 31, Height = 1.70, ["Home Town"] = "Oslo" },
        { Name = "Bob", Age = 25, Height = 1.85, ["Home Town"] = "Rome" },
        { Name = "Cleo", Height = 1.60, ["Home Town"] = "Oslo" },
        { Name = "Dan", Age = 31, Height = 1.75 },
    }
end

function test.making()
    local df = people()
    equal(#df, 4)
    equal(df.shape, { 4, 4 })
    equal(df.columns, { "Age", "Height", "Home Town", "Name" })
    equal(df.dtypes, { Age = "int", Height = "float", ["Home Town"] = "str", Name = "str" })
    local by_column = DataFrame{ A = { 1, 2 }, B = { "x", "y" } }
    equal(by_column[2], { A = 2, B = "y" })
    equal(DataFrame{ { x = 1 }, { x = 2.5 } }.dtypes, { x = "float" })
    equal(#DataFrame(), 0)
    fails("column 'x' got str where earlier rows have int", DataFrame, { { x = 1 }, { x = "a" } })
    equal(DataFrame{ { x = {} } }.dtypes, { x = "list" })
    fails("row 1: column 'x': a function", DataFrame, { { x = { print } } })
    fails("has 1 values, others have 2", DataFrame, { A = { 1, 2 }, B = { 1 } })
    fails("DataFrame cannot be made from the text 'x'", DataFrame, "x")
end

function test.indexing()
    local df = people()
    equal(df.Name[1], "Anna")
    equal(df.Name[-1], "Dan")
    equal(df["Home Town"][2], "Rome")
    equal(df[1].Age, 31)
    equal(df[-1].Name, "Dan")
    equal(df[3].Age, nil)
    equal(df[{ "Name", "Age" }].columns, { "Name", "Age" })
    equal(#df[df.Age:gt(30)], 2)
    local n = 0
    for i, row in ipairs(df) do
        n = n + i
        equal(type(row.Name), "string")
    end
    equal(n, 10)
    local sum = 0
    for i, row in df:rows(2, -1) do sum = sum + i * #row.Name end
    equal(sum, 3 + 2 * 4 + 3 * 3)
    fails("is no function", function() return df("Name") end)
    fails("positions count from 1", function() return df[0] end)
    fails("out of range", function() return df[6] end)
    fails("did you mean 'Name'", function() return df.Nam end)
    fails("DataFrame has no column 'Nme'; did you mean 'Name'?", function() return df[{ "Nme" }] end)
    fails("the row has no column 'Nam'; did you mean 'Name'?", function() return df[1].Nam end)
    fails("use a colon: df:head", function() return df.head() end)
    fails("df:rows(1, 5)", function() return df.iloc end)
    fails("column of true and false", function() return df[df.Age] end)
end

function test.assigning()
    local df = people()
    df.Text = df:apply(function(row) return row.Name .. " is " .. tostring(row.Age) end)
    equal(df.Text[1], "Anna is 31")
    df.One = 1
    df.Flag = true
    df.List = { 4, 3, 2, 1 }
    df.Half = df.Height / 2
    df.Call = function(row) return #row.Name end
    equal(df.Call:sum(), 14)
    equal(df.One:sum(), 4)
    equal(df.List[4], 1)
    near(df.Half[1], 0.85, 1e-12)
    equal(df.dtypes.Flag, "bool")
    df.One = "again"
    equal(df.One[3], "again")
    df.count = 5 -- a method has this name: it wins
    equal(df:col("count")[1], 5)
    fails("has 3 values, wanted 4", function() df.Bad = { 1, 2, 3 } end)
    fails("would get 2 values, wanted 4", function() df.Bad = df:head(2).Age end)
    fails("cannot be assigned nil", function() df.Bad = nil end)
    fails("(row 3)", function() df.Bad = function(row) return row.Age + 1 end end)
    fails("(row 3); hint: Age is null there; row.Age or 0 stands", function()
        return df:apply(function(row) return row.Age + 1 end)
    end)
    fails("no column 'Ag'", function() return df:apply(function(row) return row.Ag end) end)
    equal(df:apply(function(row) return row.Age end)[3], nil)
    equal(#df.columns, 11)
end

function test.views()
    local df = people()
    equal(#df:head(2), 2)
    equal(#df:head(-1), 3)
    equal(#df:head(100), 4)
    equal(df:tail(1).Name[1], "Dan")
    equal(df:rows(2, 3).Name:to_list(), { "Bob", "Cleo" })
    equal(df:rows(-2, -1).Name:to_list(), { "Cleo", "Dan" })
    equal(#df:rows(3, 2), 0)
    local a, b = df:sample(3, { seed = 7 }), df:sample(3, { seed = 7 })
    equal(a.Name:to_list(), b.Name:to_list())
    equal(a.Name:nunique(), 3)
    local seen_names, looks = {}, 0
    for _ = 1, 40 do seen_names[df:sample(1).Name[1]] = true end
    for _ in pairs(seen_names) do looks = looks + 1 end
    equal(looks, 4) -- without a seed, other rows each time
    equal(#df:sample{ frac = 0.5 }, 2)
    fails("sample of 5 rows, wanted 0 to 4", df.sample, df, 5)
    fails("did you mean 'seed'", df.sample, df, 1, { sed = 1 })
    local seen = {}
    for i, row in df:iterrows() do seen[i] = row.Name end
    equal(seen, { "Anna", "Bob", "Cleo", "Dan" })
end

function test.columns_verbs()
    local df = people()
    equal(df:rename{ Name = "Who" }.columns, { "Age", "Height", "Home Town", "Who" })
    equal(df:rename{ Name = "Age", Age = "Name" }.Name[1], 31) -- exchanged at once
    equal(df:rename{ columns = { Name = "Who" } }.Who[1], "Anna")
    equal(df:drop("Age").columns, { "Height", "Home Town", "Name" })
    equal(df:drop{ "Age", "Name" }.columns, { "Height", "Home Town" })
    equal(df:drop{ columns = { "Age" } }.shape, { 4, 3 })
    equal(df:astype{ Age = "str" }.Age[1], "31")
    equal(df:astype("Age", "float").dtypes.Age, "float")
    fails("'Name' as int: row 1: 'Anna' is no integer", df.astype, df, { Name = "int" })
    fails("did you mean 'Name'", df.rename, df, { Nam = "x" })
    fails("two columns are called 'Age'", df.rename, df, { Name = "Age" })
    fails("did you mean 'Age'", df.drop, df, "Ag")
    fails("wanted str, int, float, bool or json", df.astype, df, { Name = "date" })
end

function test.where()
    local df = people()
    local function names(e) return table.concat(df:where(e).Name:to_list(), " ") end
    equal(names("Age > 30"), "Anna Dan")
    equal(names("Age = null"), "Cleo")
    equal(names("Age is not null and Height < 1.8"), "Anna Dan")
    equal(names("Age ~= 31"), "Bob Cleo")
    equal(names("not Age = 31"), "Bob Cleo")
    equal(names("`Home Town` = 'Oslo' or Name = \"Bob\""), "Anna Bob Cleo")
    equal(names("'Home Town' = 'Oslo'"), "Anna Cleo")
    equal(names("Name contains 'n'"), "Anna Dan")
    equal(names("Name startswith 'A' or Name endswith 'n'"), "Anna Dan")
    equal(names("Name in ('Bob', 'Dan')"), "Bob Dan")
    equal(names("Age not in (31)"), "Bob Cleo")
    equal(names("(Age = 31 or Age = 25) and not (Height >= 1.75)"), "Anna")
    equal(names("Age == 31 && Height != 1.7"), "Dan")
    equal(names("Age = Age"), "Anna Bob Cleo Dan")
    equal(names("Height <= -1e3"), "")
    equal(names(function(row) return row.Height > 1.7 end), "Bob Dan")
    equal(#df:where(df.Age:eq(31) | df.Name:eq("Bob")), 3)
    equal(#df:where(df.Age:eq(31) & df.Name:eq("Anna")), 1)
    equal(#df:where(~df.Name:eq("Anna")), 3)
    fails("character 1: no column 'Ag'", df.where, df, "Ag > 3")
    fails("a text stands in quotes", df.where, df, "Name = Bobby")
    fails("a number is compared with text", df.where, df, "Age = 'x'")
    fails("text is compared with a number", df.where, df, "Name > 3")
    fails("endswith want texts", df.where, df, "Age contains 3")
    fails("ends early", df.where, df, "Age >")
    fails("wanted ')'", df.where, df, "(Age > 3")
    fails("not closed", df.where, df, "Name = 'x")
    fails("wanted 'and', 'or' or the end at character 9", df.where, df, "Age > 3 Name")
    fails("wanted an operator", df.where, df, "Age")
    fails("inside each other", df.where, df, ("("):rep(200) .. "Age > 3")
    fails("(row 3)", df.where, df, function(row) return row.Age > 3 end)
end

function test.order_and_groups()
    local df = people()
    equal(df:sort_values("Name", { ascending = false }).Name:to_list(), { "Dan", "Cleo", "Bob", "Anna" })
    -- equal rows keep their order, nulls come last either way
    equal(df:sort_values("Age").Name:to_list(), { "Bob", "Anna", "Dan", "Cleo" })
    equal(df:sort_values("Age", { ascending = false }).Name:to_list(), { "Anna", "Dan", "Bob", "Cleo" })
    equal(df:sort_values({ "Age", "Height" }, { ascending = { true, false } }).Name:to_list(), { "Bob", "Dan", "Anna", "Cleo" })
    local counts = df:value_counts("Age")
    equal(counts.Age[1], 31)
    equal(counts["count"] and counts:col("count"):to_list(), { 2, 1, 1 })
    equal(#df:drop_duplicates("Age"), 3)
    equal(#df:drop_duplicates(), 4)
    equal(#df:drop_duplicates{ subset = { "Home Town" } }, 3)
    equal(#df:dropna(), 2)
    equal(#df:dropna("Age"), 3)
    equal(#df:dropna{ "Age", "Home Town" }, 2)
    equal(#df:dropna{ subset = "Age" }, 3)
    equal(df:fillna{ Age = 0 }.Age[3], 0)
    equal(df:fillna("?")["Home Town"][4], "?")
    equal(df:fillna("?").Age[3], nil)
    equal(df:isna().Age[3], true)
    fails("wanted names of columns", df.dropna, df, { how = "any" })
end

function test.describe()
    local df = people()
    local d = df:describe()
    local by = {}
    for i, row in d:iterrows() do by[row.statistic] = row end
    equal(by.count.Age, 3.0)
    equal(by.empty.Age, 1.0)
    near(by.mean.Age, 29, 1e-12)
    near(by.std.Age, math.sqrt(12), 1e-12)
    equal(by["50%"].Age, 31.0)
    equal(by.distinct["Home Town"], "2")
    equal(by.top["Home Town"], "Oslo")
    equal(by.longest.Name, "4")
end

function test.printing()
    local df = people()
    local text = df:to_string{ width = 60 }
    holds(text, "│ Name │")
    holds(text, "∅")
    holds(text, "4 rows · 4 columns")
    local wide = utf8.len(text:match("^[^\n]*"))
    for line in text:gmatch("[┌│├└][^\n]*") do equal(utf8.len(line), wide) end
    holds(df:to_string{ style = "ascii", width = 60 }, "| Name |")
    holds(df:to_string{ style = "markdown" }, "| Age | Height | Home Town | Name |\n|---|---|---|---|\n")
    holds(df:to_string{ style = "tsv" }, "Age\tHeight\tHome Town\tName\n31\t1.7\tOslo\tAnna\n")
    holds(df:head(2):to_string{ width = 80 }, "2 of 4 rows")
    holds(tostring(df.Age), "Age\n31\n25\n\n31")
    fails("style", df.to_string, df, { style = "boxy" })
    fails("did you mean 'width'", df.to_string, df, { widht = 3 })
end

function test.format()
    local df = people()
    df.Text = df:format("{{{Name}}} {Home Town}: {Height:.2f}")
    equal(df.Text:to_list(), { "{Anna} Oslo: 1.70", "{Bob} Rome: 1.85", "{Cleo} Oslo: 1.60", "{Dan} : 1.75" })
    fails("did you mean 'Name'", df.format, df, "{Nam}")
    fails("'{' is not closed", df.format, df, "{Name")
    fails("'}' without '{'", df.format, df, "Name}")
    fails("':x' is unknown", df.format, df, "{Age:x}")
end

function test.files()
    local df, path = people(), os.tmpname()
    df:to_csv(path)
    local back = read_csv(path)
    equal(back:to_dict(), df:to_dict())
    equal(back.dtypes, df.dtypes)
    df:to_csv(path, { index = true, sep = ";" })
    local f = io.open(path)
    equal(f:read(), ";Age;Height;Home Town;Name")
    equal(f:read(), "1;31;1.7;Oslo;Anna")
    f:close()
    equal(read_csv(path, { sep = ";" }).columns[1], "Unnamed: 0")
    f = io.open(path, "w")
    f:write("a,b\n1,2\n3\n")
    f:close()
    fails("row 2 (line 3): 1 field, wanted 2", read_csv, path)
    os.remove(path)
    equal(df[{ "Name" }]:to_csv(), "Name\nAnna\nBob\nCleo\nDan\n")
    equal(df:to_dict("records")[3], { Name = "Cleo", Height = 1.6, ["Home Town"] = "Oslo" })
    fails("cannot open", read_csv, path .. "/no/such.csv")
    fails("sep 'ab'", df.to_csv, df, path, { sep = "ab" })
    local two = DataFrame.concat{ df, df:head(1):drop("Age") }
    equal(#two, 5)
    equal(two.Age[5], nil)
end

function test.arithmetic()
    local df = DataFrame{ A = { 1, 2, 3 }, B = { 0.5, 2, -1 }, T = { "x", "y", "z" } }
    local function list(c) return c:to_list() end
    equal(list(df.A + 1), { 2, 3, 4 })
    equal(list(10 - df.A), { 9, 8, 7 })
    equal((df.A * df.A).dtype, "int")
    equal(list(df.A * df.B), { 0.5, 4.0, -3.0 })
    equal(list(df.A / 2), { 0.5, 1.0, 1.5 })
    equal(list(df.A // 2), { 0, 1, 1 })
    equal(list(-df.A % 2), { 1, 0, 1 })
    equal(list(df.A ^ 2), { 1.0, 4.0, 9.0 })
    equal(list("<" .. df.T .. ">"), { "<x>", "<y>", "<z>" })
    equal(list(df.T .. df.A), { "x1", "y2", "z3" })
    equal(list(df.A:ge(2)), { false, true, true })
    equal(list(df.A:eq(df.B)), { false, true, false })
    equal(list(df.T:ne("y")), { true, false, true })
    equal(list(df.A:lt(df.B:fillna(0))), { false, false, false })
    fails("texts are joined with ..", function() return df.T + "a" end)
    fails("eq between str and int", function() return df.T:eq(3) end)
    fails("row 1: division of an integer by 0", function() return df.A // 0 end)
    fails("is over 64 bits", function() return df.A * math.maxinteger end)
    fails('> of a whole column is not possible in Lua; hint: df.A:gt(2) gives', function() return df.A > 2 end)
    fails('df:where("A >= 2") the rows', function() return 2 <= df.A end)
    fails('df:where("A < 2") the rows', function() return df.A < 2 end)
    fails("df.T:le('m')", function() return df.T <= "m" end)
    fails("== of a whole column is not possible in Lua; hint: df.A:eq(...)", function() return df.A == df.B end)
    fails("a column and nil", function() return df.A + nil end)
    fails("the same DataFrame", function() return df.A + df:head(1).A end)
end

function test.numbers()
    local c = DataFrame{ { x = 4 }, { x = 1 }, {}, { x = 3 } }.x
    equal(#c, 4)
    equal(c:count(), 3)
    equal(c:sum(), 8)
    equal(math.type(c:sum()), "integer")
    near(c:mean(), 8 / 3, 1e-12)
    near(c:std(), math.sqrt(7 / 3), 1e-12)
    equal(c:min(), 1)
    equal(c:max(), 4)
    equal(c:median(), 3.0)
    equal(c:quantile(0.25), 2.0)
    equal(c:unique(), { 4, 1, 3 })
    equal(c:nunique(), 3)
    equal(c:isna():to_list(), { false, false, true, false })
    equal(c:notna():sum(), 3)
    equal(c:fillna(0):to_list(), { 4, 1, 0, 3 })
    equal(c:astype("str")[1], "4")
    equal(c:map(function(x) return x and x * 2 end)[1], 8)
    equal(c:map{ [4] = "four", [1] = "one" }[2], "one")
    fails("(row 3)", c.map, c, function(x) return x + 1 end)
    fails("wanted 0 to 1", c.quantile, c, 2)
    fails("fillna wants", c.fillna, c)
    fails("statistics of a text column", function() return DataFrame{ T = { "a" } }.T:mean() end)
    equal(DataFrame{ T = {} }.T:astype("int"):mean(), nil)
end

function test.texts()
    local c = DataFrame{ T = { "  Zoë  ", "ÄRGER", "日本" } }.T
    equal(c:str_len():to_list(), { 7, 5, 2 })
    equal(c:strip():to_list(), { "Zoë", "ÄRGER", "日本" })
    equal(c:lower():to_list(), { "  zoë  ", "ärger", "日本" })
    equal(c:upper()[1], "  ZOË  ")
    equal(c:contains("RG"):to_list(), { false, true, false })
    equal(c:startswith("日"):to_list(), { false, false, true })
    equal(c:endswith("  "):to_list(), { true, false, false })
    equal(c:max(), "日本")
    fails("a text function on a column of type int", function() return DataFrame{ A = { 1 } }.A:lower() end)
    fails("wanted texts", c.contains, c, 3)
end

function test.diseases()
    if not exists(diseases) then cases.skip("no " .. diseases) end
    local df = DataFrame(load_dataset("csv", { data_files = diseases, split = "train" }))
    equal(df.shape, { 400, 4 })
    equal(df.dtypes, { Code = "int", Name = "str", Symptoms = "str", Treatments = "str" })
    df.Text = df:apply(function(row) return row.Name .. " " .. row.Symptoms end)
    equal(#df:dropna(), 399)
    equal(df.Name:nunique(), 392)
    equal(#df:where("Name contains 'disorder'"), #df:filter(function(row) return row.Name:find("disorder", 1, true) end))
    holds(df:to_string{ width = 80 }, "10 of 400 rows")
end

function test.generated_text()
    local path = os.getenv("LORASH_DEMO_MODEL")
    if not path then cases.skip("LORASH_DEMO_MODEL is not set") end
    local model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    local df = DataFrame{ { Q = "The capital of France is" } }
    df.A = df:apply(function(row)
        return model:generate(tokenizer, row.Q, { max_new_tokens = 2, do_sample = false })
    end)
    equal(df.dtypes.A, "str")
    holds(df.A[1], "Paris")
end

cases.run(test)
