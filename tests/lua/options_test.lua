-- Options of a table call: names, aliases, types, notes.
local tap = require "tap"

local path = os.tmpname()
local f = assert(io.open(path, "w"))
f:write("a;b\n1;2\n3;4\n")
f:close()

local function load_with(options)
    options.data_files = path
    options.split = "train"
    return load_dataset("csv", options)
end

tap.eq(load_with{ delimiter = ";" }.column_names, { "a", "b" }, "an option by its name")
tap.eq(load_with{ sep = ";" }.column_names, { "a", "b" }, "by its other name")
tap.raises(function() load_with{ sep = ";", delimiter = "," } end,
    "'delimiter' and 'sep' are the same option", "both at once")
tap.raises(function() load_with{ delimitr = ";" } end,
    "load_dataset has no option 'delimitr'; did you mean 'delimiter'?")
tap.raises(function() load_with{ delimiter = 5 } end, "load_dataset: delimiter wants a text, found 5")
tap.raises(function() load_with{ delimiter = {} } end, "delimiter wants", "a table for a text")
tap.raises(function() load_with{ delimiter = print } end, "delimiter wants text, found a function")
tap.raises(function() load_with{ infer = "yes please" } end, "infer wants true or false, found the text 'yes please'")
tap.raises(function() load_with{ infer = 1 } end, "infer wants true or false, found 1")
tap.raises(function() load_with{ [true] = 1 } end, "option names are texts, found true")
tap.raises(function() load_dataset("csv", 5) end, "load_dataset", "options that are no table")
tap.eq(#load_with{ delimiter = ";", trust_remote_code = true, num_proc = { 1 } }, 2,
    "what means nothing here is accepted with any value")

local df = DataFrame(load_with{ delimiter = ";" })
tap.raises(function() df:sample(1, { seed = 1.5 }) end, "seed wants an integer, found 1.5")
tap.eq(#df:sample(1, { seed = 3.0 }), 1, "a whole float is an integer")
tap.raises(function() df:sample(1, { sed = 1 }) end, "did you mean 'seed'?")
tap.raises(function() df:head("x") end, "head", "a wrong argument names the method")
tap.raises(function() df.head(2) end, "use a colon: df:head", "a dot where a colon belongs")
tap.raises(function() df.head() end, "use a colon: df:head", "and without arguments")
tap.raises(function() local head = df.head; head(3) end, "use a colon")
tap.eq(#DataFrame.head(df, 1), 1, "the class's method with its object is fine")
tap.raises(function() DataFrame:concat{ df, df } end, "use a dot: DataFrame.concat")
tap.raises(function() return df.colums end, "did you mean 'columns'?")
tap.raises(function() df.shape = 1 end, "DataFrame.shape is read only")
tap.raises(function() DataFrame.new = 1 end, "DataFrame is a class")
tap.raises(function() return DataFrame.haed end, "DataFrame has no member 'haed'; did you mean 'head'?")
tap.raises(function() AutoTokenizer("x") end, "AutoTokenizer is not called itself; hint: AutoTokenizer.from_pretrained")
tap.eq(getmetatable(df), "DataFrame", "the metatable is not for everybody")
tap.raises(function() setmetatable(df, {}) end, "bad argument")
os.remove(path)

-- out of memory in the middle of a table call: an error, nothing lost
local live = lorash.probe.live()
for n = 1, 40 do
    lorash.probe.fail_at(n)
    pcall(function() return df:sample(1, { seed = 1 }) end)
    lorash.probe.fail_at(0)
end
tap.ok(lorash.probe.live() <= live + 50, "a failing allocation loses nothing")

tap.done()
