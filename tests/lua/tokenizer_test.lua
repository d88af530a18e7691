-- tokenizer_test.lua -- the classes AutoTokenizer and Tokenizer.
local tap = dofile("tests/lua/tap.lua")
local eq, ok, raises = tap.eq, tap.ok, tap.raises

-- A small tokenizer: every byte is a token, and "he", "ll", "hell", "hello".
local folder = os.tmpname()
os.remove(folder)
local function spell(byte)
    local itself = byte >= 33 and byte <= 126 or byte >= 161 and byte <= 172 or byte >= 174
    if itself then return utf8.char(byte) end
    if byte < 33 then return utf8.char(256 + byte) end
    return utf8.char(byte < 161 and 256 + 33 + byte - 127 or 256 + 67)
end
local vocab = {}
for byte = 0, 255 do
    vocab[#vocab + 1] = ('"%s": %d'):format(spell(byte):gsub('["\\]', "\\%0"), byte)
end
for i, token in ipairs { "he", "ll", "hell", "hello" } do vocab[#vocab + 1] = ('"%s": %d'):format(token, 255 + i) end
local path = folder .. ".json"
local file = assert(io.open(path, "w"))
file:write(([[{"added_tokens": [{"id": 260, "content": "<s>", "special": true},
{"id": 261, "content": "</s>", "special": true}], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel"},
"post_processor": null, "decoder": {"type": "ByteLevel"},
"model": {"type": "BPE", "vocab": {%s}, "merges": ["h e", "l l", "he ll", "hell o"]}}]]):format(table.concat(vocab, ", ")))
file:close()

local t = AutoTokenizer.from_pretrained(path, { eos_token = "</s>", use_fast = true })
local name = path:match("[^/]+$")
eq(tostring(t), "Tokenizer " .. name .. " · byte-level BPE · 262 tokens · eos </s> 261 · no pad · pads right")
eq(#t, 262)
eq(t.vocab_size, 260)
eq(t:encode("hello"), { 259 })
eq(t:encode("a<s>"), { 97, 260 })
eq(t:encode("<s>", { split_special_tokens = true }), { 60, 115, 62 })
eq(t:decode({ 259, 261 }), "hello</s>")
eq(t:decode({ 259, 261 }, { skip_special_tokens = true }), "hello")
eq(t:decode(259), "hello")
eq(t:decode({}), "")
eq(t:decode(t:encode("naïve 😀\r\n")), "naïve 😀\r\n", "text comes back")
eq(t:batch_decode { { 259 }, { 256, 257 } }, { "hello", "hell" })
eq(t:tokenize("hello he"), { "hello", "Ġ", "he" })
eq(t:convert_tokens_to_ids("hello"), 259)
eq(t:convert_tokens_to_ids { "he", "ll" }, { 256, 257 })
eq(t:convert_tokens_to_ids("hallo"), nil)
eq(t:convert_ids_to_tokens(256), "he")
eq(t:convert_ids_to_tokens { 256, 32 }, { "he", "Ġ" })

-- special tokens
eq(t.eos_token, "</s>")
eq(t.eos_token_id, 261)
eq(t.pad_token, nil)
raises(function() t { "a", "b", padding = true } end, "stands among the texts")
raises(function() t({ "hello", "a" }, { padding = true }) end, "hint: tokenizer.pad_token = tokenizer.eos_token")
t.pad_token = t.eos_token
eq(t.pad_token_id, 261)
ok(tostring(t):find("pad = eos", 1, true), "pad = eos is shown")
t.bos_token = "<s>"
t.add_bos_token = true
eq(t.add_bos_token, true)
eq(t:encode("a"), { 260, 97 })
eq(t:encode("a", { add_special_tokens = false }), { 97 })
raises(function() t.eos_token = "<eos>" end, "the vocabulary has no token '<eos>'")
raises(function() t.eos_token = "</t>" end, "did you mean '</s>'?")
raises(function() t.eos_token_id = 5000 end, "there is no token 5000")
raises(function() t.eos_token = 5 end, "eos_token_id takes a number")
raises(function() t.vocab_size = 5 end, "read only")
eq(t.all_special_tokens, { "<s>", "</s>" })

-- calls
eq(t("hello"), { input_ids = { 260, 259 }, attention_mask = { 1, 1 } })
eq(t({ "hello", "abc" }, { padding = true }),
    { input_ids = { { 260, 259, 261, 261 }, { 260, 97, 98, 99 } }, attention_mask = { { 1, 1, 0, 0 }, { 1, 1, 1, 1 } } })
eq(t({ "hello", "a" }).input_ids, { { 260, 259 }, { 260, 97 } })
t.padding_side = "left"
eq(t({ "hello", "abc" }, { padding = "longest" }).input_ids, { { 261, 261, 260, 259 }, { 260, 97, 98, 99 } })
eq(t({ "hello" }, { padding = "max_length", max_length = 4 }).attention_mask, { { 0, 0, 1, 1 } })
t.padding_side = "right"
raises(function() t.padding_side = "middle" end, '"left" or "right"')
eq(t("abc", { truncation = true, max_length = 2 }).input_ids, { 260, 97 })
eq(t("abc", { truncation = true, max_length = 2, truncation_side = "left" }).input_ids, { 260, 99 })
t.add_eos_token = true
eq(t:encode("abc", { truncation = true, max_length = 3 }), { 260, 97, 261 })
t.add_eos_token = false
raises(function() t("abc", { truncation = true }) end, "hint: give max_length")
t.model_max_length = 2
eq(t.model_max_length, 2)
eq(t("abc", { truncation = true }).input_ids, { 260, 97 })
t.model_max_length = math.huge
eq(t.model_max_length, math.huge)
eq(t("é a", { return_offsets_mapping = true, add_special_tokens = false }).offset_mapping,
    { { 1, 1 }, { 2, 2 }, { 3, 3 }, { 4, 4 } })
eq(t("a", { return_attention_mask = false, add_special_tokens = false }), { input_ids = { 97 } })

-- what goes wrong says what to do
raises(function() t("a", { paddin = true }) end, "did you mean 'padding'?")
raises(function() t("a", { padding = "most" }) end, "padding must be true, false or")
raises(function() t(5) end, "a tokenizer encodes texts, found 5")
raises(function() t:decode("abc") end, "wanted a list of token ids")
raises(function() t:decode { 1, "x" } end, "token ids are integers, found the text 'x'")
raises(function() t:decode { -1 } end, "there is no token -1")
raises(function() t:decode { 100000 } end, "there is no token 100000")
raises(function() t:decode(t("a")) end, "hint: give its input_ids")
raises(function() t.encode("a") end, "use a colon")
raises(function() return t.eos_tokn end, "did you mean 'eos_token'?")
raises(function() AutoTokenizer("x") end, "AutoTokenizer.from_pretrained(path")
raises(function() AutoTokenizer.from_pretrained(path, { padding_sid = "left" }) end, "did you mean 'padding_side'?")
raises(function() AutoTokenizer.from_pretrained(path, { padding_side = "up" }) end, "right,left")
raises(function() AutoTokenizer.from_pretrained(folder .. ".jsan") end, "cannot open")
raises(function() AutoTokenizer.from_pretrained {} end, "wants a path")
local left = AutoTokenizer.from_pretrained(path, { padding_side = "left", model_max_length = 7, bos_token = "<s>", add_bos_token = true })
eq(left.padding_side, "left")
eq(left.model_max_length, 7)
eq(left:encode("a"), { 260, 97 })
do
    local closing <close> = left
end
raises(function() left:encode("a") end, "was closed")
eq(tostring(left), "Tokenizer (closed)")

-- the switch for texts that must not give orders
local u = AutoTokenizer.from_pretrained(path, { eos_token = "</s>", pad_token = "</s>" })
u.split_special_tokens = true
eq(u:encode("<s>"), { 60, 115, 62 })
eq(u:tokenize("<s>"), { "<", "s", ">" })
eq(u:encode("<s>", { split_special_tokens = false }), { 260 })
u.split_special_tokens = false
raises(function() u.split_special_tokens = 1 end, "must be true or false")

-- two texts, padding to a multiple, clean-up
eq(u("a", { text_pair = "b" }).input_ids, { 97, 98 })
raises(function() u({ "a" }, { text_pair = "b" }) end, "goes with one text")
eq(u({ "a", "hello" }, { padding = true, pad_to_multiple_of = 4 }).attention_mask, { { 1, 0, 0, 0 }, { 1, 0, 0, 0 } })
eq(u:decode(u:encode("do n't , he said ."), { clean_up_tokenization_spaces = true }), "don't, he said.")
eq(u:decode(u:encode("do n't ,")), "do n't ,")

-- what is cut off as further rows (left.cuts: from the end)
local cut = { truncation = true, max_length = 3, return_overflowing_tokens = true }
eq(u("abcdefg", cut).input_ids, { { 97, 98, 99 }, { 100, 101, 102 }, { 103 } })
cut.stride, cut.return_length, cut.return_offsets_mapping = 1, true, true
local rows = u({ "abcde", "x" }, cut)
eq(rows.input_ids, { { 97, 98, 99 }, { 99, 100, 101 }, { 120 } })
eq(rows.overflow_to_sample_mapping, { 1, 1, 2 })
eq(rows.length, { 3, 3, 1 })
eq(rows.offset_mapping[2], { { 3, 3 }, { 4, 4 }, { 5, 5 } })
cut.truncation_side, cut.padding, cut.return_offsets_mapping = "left", "max_length", false
eq(u("abcd", cut).input_ids, { { 98, 99, 100 }, { 97, 98, 261 } })
eq(u("", cut).input_ids, { { 261, 261, 261 } })
eq(u("a", { return_length = true }).length, 1)
cut.stride = 3
raises(function() u("abcd", cut) end, "stride 3 must be below")

-- tokens that are added
eq(u:add_tokens("<x>"), 1)
eq(u:add_tokens { "<x>", "<y>", { content = "<z>", lstrip = true, special = true } }, 2)
eq(#u, 265)
eq(u:encode("a<x>b <z>"), { 97, 262, 98, 264 })
eq(u:decode({ 262, 264, 97 }, { skip_special_tokens = true }), "<x>a")
eq(u:add_special_tokens { pad_token = "<pad>", additional_special_tokens = { "<q>", "<x>" } }, 2)
eq(u.pad_token, "<pad>")
eq(u:get_added_vocab()["<pad>"], u.pad_token_id)
eq(u:get_vocab()["hello"], 259)
eq(u:convert_ids_to_tokens(u:encode("<q>")), { "<q>" })
raises(function() u:add_tokens(5) end, "a token to add is a text")
raises(function() u:add_tokens { { contents = "x" } } end, "has no 'contents'")
raises(function() u:add_tokens("") end, "wanted 1 to 1024")
raises(function() u:add_special_tokens { mask = "x" } end, "has no 'mask'")

-- saving and opening again
u.chat_template = "{{ messages }}"
eq(u:save_pretrained(folder), folder)
local again = AutoTokenizer.from_pretrained(folder)
eq(#again, #u)
eq(again.pad_token, "<pad>")
eq(again.chat_template, "{{ messages }}")
eq(again:encode("a<x>b <z><q>hello"), u:encode("a<x>b <z><q>hello"))
raises(function() u:save_pretrained() end, "wants a folder")
os.remove(folder .. "/tokenizer.json")
os.remove(folder .. "/tokenizer_config.json")
os.remove(folder)

local model = os.getenv("LORASH_DEMO_MODEL")
if model then
    local smol = AutoTokenizer.from_pretrained(model)
    eq(smol:encode("Hello world 12"), { 19556, 905, 216, 33, 34 })
    ok(tostring(smol):find("49,152 tokens · eos <|im_end|> 2 · pad = eos · pads right", 1, true), tostring(smol))
    eq(smol.model_max_length, 8192)
else
    tap.skip("the demo model's tokenizer", "LORASH_DEMO_MODEL is not set")
end
os.remove(path)
tap.done()
