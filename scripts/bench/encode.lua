-- encode.lua -- a text file to token ids with lorash; run by encode.
--
--   lorash encode.lua TOKENIZER TEXT
local path, text = arg[1], arg[2]
local file <close> = assert(io.open(text, "rb"))
local bytes = file:read("a") or ""
local start = os.clock()
local tokenizer = AutoTokenizer.from_pretrained(path)
local loaded = os.clock()
local ids = tokenizer:encode(bytes, { add_special_tokens = false })
local done = os.clock()

-- sixteen checksums, so that a difference shows where it is
local sums, count = {}, #ids
for part = 0, 15 do
    local sum = 0
    for i = count * part // 16 + 1, count * (part + 1) // 16 do
        sum = (sum * 31 + ids[i] + 1) % 2147483647
    end
    sums[#sums + 1] = ("%d"):format(sum + 1)
end
print(("bench: tokens=%d seconds=%.6f losses=%s load=%.3f"):format(count, done - loaded,
    table.concat(sums, ","), loaded - start))
