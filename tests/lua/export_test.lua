-- Whole models and adapters written for other programs, and read back.
local tap = require "tap"

local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir -p " .. folder))
local path = "tests/golden/llama_untied_mha.gguf"
local ids = { 3, 1, 4, 1, 5, 9, 2, 6 }
local function load(from, options) return AutoModelForCausalLM.from_pretrained(from, options) end
local function text_of(name)
    local file = assert(io.open(name))
    local text = file:read("a")
    file:close()
    return text
end
-- the largest difference of two models' logits
local function apart(a, b)
    local d = (a:logits(ids) - b:logits(ids)):reshape(-1)
    return math.max(d:max():item(), (d * -1):max():item())
end

local model = load(path)

-- settings of a model are seen
local yarn = load("tests/golden/llama_yarn.gguf")
tap.eq(yarn.config.rope_scaling, { rope_type = "yarn", factor = 4.0, original_max_position_embeddings = 64 })
tap.ok(tostring(yarn):find("4 (yarn)", 1, true), "printed too", tostring(yarn))
local window = load("tests/golden/mistral_window")
tap.eq(window.config.sliding_window, 6)
tap.ok(tostring(window):find("window 6", 1, true), "so is a window", tostring(window))
tap.eq(model.config.rope_scaling, nil, "a plain model has no scaling")

-- a folder
local dir = folder .. "/whole"
model:save_pretrained(dir)
local again = load(dir)
tap.eq(apart(model, again), 0.0, "a saved model is the same model")
tap.ok(text_of(dir .. "/config.json"):find('"model_type": "llama"', 1, true), "has a config.json")
tap.ok(text_of(dir .. "/generation_config.json"):find("_from_model_config", 1, true), "and a generation_config.json")
tap.raises(function() again:save_pretrained(dir) end, "opened from there", "not over itself")
tap.raises(function() model:save_pretrained(dir, { dtype = "int8" }) end, "int8")
tap.raises(function() model:save_pretrained(dir, { max_shard_size = "5 XB" }) end, "5 XB")
tap.raises(function() model:save_pretrained(dir, { dtyp = "float32" }) end, "dtype")
tap.raises(function() model:save_pretrained() end, "folder")
model:save_pretrained(dir, { dtype = "bfloat16", max_shard_size = "20KB" })
tap.ok(text_of(dir .. "/model.safetensors.index.json"):find("weight_map", 1, true), "several files have an index")
tap.ok(not io.open(dir .. "/model.safetensors"), "what was one file before is gone")
local narrow = load(dir)
tap.ok(apart(model, narrow) < 0.1 and apart(model, narrow) > 0, "bfloat16 is a little off")

-- with an adapter the adapter is saved; merged, the whole model
local adapted = get_peft_model(load(path), LoraConfig{ r = 2, init_lora_weights = false })
tap.raises(function() adapted:save_pretrained(folder .. "/adapter", { dtype = "float32" }) end, "merge_and_unload")
local wanted = adapted:logits(ids)
adapted = adapted:merge_and_unload()
adapted:save_pretrained(folder .. "/merged")
local merged = load(folder .. "/merged")
tap.eq(apart(adapted, merged), 0.0, "a merged model is saved whole")

-- GGUF, with the vocabulary of a tokenizer
local letters = {}
for i = 0, 19 do letters[#letters + 1] = ('"%s":%d'):format(string.char(97 + i), i) end
local file = assert(io.open(folder .. "/tokenizer.json", "w"))
file:write('{"added_tokens":[],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},'
    .. '"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{' .. table.concat(letters, ",") .. '},"merges":[]}}')
file:close()
local tokenizer = AutoTokenizer.from_pretrained(folder .. "/tokenizer.json")
local gguf = folder .. "/model.gguf"
tap.raises(function() model:save_gguf(gguf) end, "tokenizer = tokenizer", "a GGUF file holds a tokenizer")
tap.raises(function() model:save_gguf(gguf, { tokenizer = 3 }) end, "3")
tap.raises(function() model:save_gguf(gguf, { dtype = "q3_k" }) end, "q3_k")
tap.raises(function() model:save_gguf() end, "path")
model:save_gguf(gguf, { tokenizer = tokenizer, dtype = "f32" })
tap.eq(apart(model, load(gguf)), 0.0, "a GGUF file gives the same model")
tap.eq(AutoTokenizer.from_pretrained(gguf):encode("abc"), tokenizer:encode("abc"), "and the same tokenizer")
load(gguf):save_gguf(folder .. "/small.gguf", { dtype = "f16" })
tap.ok(apart(model, load(folder .. "/small.gguf")) < 0.05, "a GGUF base keeps its vocabulary")
tap.raises(function() load(gguf):save_gguf(gguf) end, "opened from there")

-- an adapter for llama.cpp
tap.raises(function() model:save_adapter_gguf(folder .. "/none.gguf") end, "no adapter")
local base = get_peft_model(load(path), LoraConfig{ r = 2, init_lora_weights = false })
tap.raises(function() base:save_gguf(gguf .. "2", { tokenizer = tokenizer }) end, "save_adapter_gguf")
base:save_adapter_gguf(folder .. "/adapter.gguf")
tap.eq(io.open(folder .. "/adapter.gguf"):read(4), "GGUF", "an adapter is a GGUF file too")
tap.raises(function() base:save_adapter_gguf(folder .. "/x.gguf", { adapter_name = "other" }) end, "other")

os.execute("rm -rf " .. folder)
tap.done()
