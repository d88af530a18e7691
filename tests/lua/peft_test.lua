-- Adapters as a person uses them: options, several by name, saving, loading, going on, merging.
local tap = require "tap"

local tied, untied = "tests/golden/llama_tied_gqa.gguf", "tests/golden/llama_untied_mha.gguf"
local biased = "tests/golden/llama_bias.gguf"
local ids = { 3, 17, 5, 30, 11, 2, 29 }
local function load(path) return AutoModelForCausalLM.from_pretrained(path or untied) end
local function logits(model) return model:logits(ids):tolist() end
local function same(a, b)
    for i, row in ipairs(a) do
        for k, v in ipairs(row) do
            if v ~= b[i][k] then return false end
        end
    end
    return #a == #b
end
local function distance(a, b)
    local d, n = 0, 0
    for i, row in ipairs(a) do
        for k, v in ipairs(row) do
            d = d + (v - b[i][k]) ^ 2
            n = n + b[i][k] ^ 2
        end
    end
    return math.sqrt(d / n)
end
local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir -p " .. folder))
local function read(name)
    local file = assert(io.open(folder .. "/" .. name))
    local text = file:read("a")
    file:close()
    return text
end
local function write(name, text)
    local file = assert(io.open(folder .. "/" .. name, "w"))
    file:write(text)
    file:close()
end
local function random(options) -- a LoraConfig whose adapter does something at once
    options.init_lora_weights = false
    options.r = options.r or 2
    options.lora_alpha = 2
    return LoraConfig(options)
end

-- LoraConfig
local config = LoraConfig{ target_modules = { "q_proj" }, rank_pattern = { v_proj = 4, q_proj = 2 },
    alpha_pattern = { { "z", 1 }, { "a", 2.5 } }, layers_to_transform = 1, init_lora_weights = "gaussian" }
tap.eq(config.rank_pattern, { q_proj = 2.0, v_proj = 4.0 })
tap.ok(tostring(config):find("rank_pattern%s+q_proj=2,v_proj=4"), "a table is sorted by name")
tap.ok(tostring(config):find("alpha_pattern%s+z=1,a=2.5"), "pairs keep their order")
tap.eq(config.layers_to_transform, { "1" })
tap.eq(LoraConfig{ init_lora_weights = true }.init_lora_weights, "true")
config.layers_to_transform = {}
config.layers_pattern = "layers" -- in any order; it is checked when it is used
config.layers_to_transform = { 0, 1 }
config.rank_pattern = {}
tap.eq(config.rank_pattern, {})
tap.eq(LoraConfig{ bias_type = "all" }.bias, "all")
for _, case in ipairs{
    { { use_dora = true }, "use_dora = true is not available; hint: leave it out" },
    { { init_lora_weights = "pissa" }, "init_lora_weights = pissa is not available" },
    { { init_lora_weights = "zero" }, "one of true,false,gaussian" },
    { { loftq_config = { loftq_bits = 4 } }, "loftq_config is not available" },
    { { trainable_token_indices = { 1 } }, "modules_to_save = {\"embed_tokens\"}" },
    { { rank_pattern = { q_proj = 2.5 } }, "'q_proj' = 2.5, wanted a whole number" },
    { { rank_pattern = { q_proj = 0 } }, "'q_proj' = 0 is out of range, wanted 1 to 65536" },
    { { rank_pattern = { q_proj = "x" } }, "'q_proj' wants a number, found the text 'x'" },
    { { rank_pattern = { 3 } }, "wants { name = number }, item 1 is 3" },
    { { rank_pattern = { 3, a = 1 } }, "rank_pattern wants names and numbers" },
    { { rank_pattern = { [2.5] = 1 } }, "names are texts, found 2.5" },
    { { rank_pattern = { { "a", 1 }, { "a", 2 } } }, "names 'a' twice" },
    { { rank_pattern = 3 }, "rank_pattern wants a table of names and numbers" },
    { { rank_pattern = "q" }, "rank_pattern wants a table" },
    { { layers_to_transform = { "x" } }, "'x' is no layer number" },
    { { layers_pattern = "h" }, "layers_pattern needs layers_to_transform" },
    { { target_modules = ".*q", layers_to_transform = 1 }, "works with a list of names" },
    { { rank_patern = {} }, "did you mean 'rank_pattern'?" },
    { { task_type = "SEQ_CLS" }, "task_type" },
} do
    tap.raises(function() LoraConfig(case[1]) end, case[2])
end
tap.eq(LoraConfig{ loftq_config = {}, eva_config = false, use_dora = false }.r, 8, "defaults of what is not there are fine")

-- get_peft_model
local model = load()
local base = logits(model)
for _, case in ipairs{
    { { target_modules = { "Wqkv" } }, "this model has q_proj, k_proj and v_proj instead" },
    { { target_modules = { "qproj" } }, "did you mean 'q_proj'?" },
    { { target_modules = ".*foo" }, "the pattern '.*foo' matches no layer" },
    { { target_modules = "(" }, "the pattern '(' is not understood: missing closing parenthesis" },
    { { layers_to_transform = { 1, 7 } }, "no layer 7; hint: this model has layers 0 to 2" },
    { { modules_to_save = { "lmhead" } }, "did you mean 'lm_head'?" },
    { { rank_pattern = { k_proj = 3 } }, "'k_proj' matches no adapted layer" },
    { { rank_pattern = { q_proj = 3, [".*_proj"] = 4 } }, "both match model.layers.0.self_attn.q_proj and disagree" },
} do
    tap.raises(function() get_peft_model(model, LoraConfig(case[1])) end, case[2])
end
tap.eq(model.active_adapter, nil)
tap.eq(model.peft_config, nil)
tap.ok(same(logits(model), base), "refusals leave the model as it was")
tap.raises(function() model:set_adapter("x") end, "it has none")
tap.raises(function() model:disable_adapter() end, "the model has no adapter")
tap.raises(function() model:merge_and_unload() end, "the model has no adapter")
tap.raises(function() model:unmerge_adapter() end, "nothing is merged")
tap.raises(function() get_peft_model(model, LoraConfig{}, 3) end, "the adapter's name is a text")

-- several by name
get_peft_model(model, random{ target_modules = { "q_proj", "lm_head" }, modules_to_save = { "norm" } })
local first = logits(model)
tap.eq(model.active_adapter, "default")
tap.raises(function() get_peft_model(model, LoraConfig{}) end, "has an adapter already")
model:add_adapter("second", random{ target_modules = "all-linear", exclude_modules = { "up_proj" } })
tap.ok(same(logits(model), first), "a further adapter stays in the background")
model:set_adapter("second")
local second = logits(model)
tap.ok(distance(second, first) > 1e-3 and distance(second, base) > 1e-3, "another adapter, another model")
tap.eq(model.active_adapter, "second")
local names = {}
for name in pairs(model.peft_config) do names[#names + 1] = name end
table.sort(names)
tap.eq(names, { "default", "second" })
tap.eq(model.peft_config.second.exclude_modules, { "up_proj" })
tap.eq(#model.peft_config.second.target_modules, 7)
tap.ok(model:state_dict():keys("*lora_A.second*")[1], "names carry the adapter's")
tap.ok(tostring(model):find("adapter 'second' of 2 r 2 on 18 layers", 1, true), "print shows the active one")
tap.raises(function() model:set_adapter("third") end, "it has 'default', 'second'")
tap.raises(function() model:add_adapter("second", LoraConfig{}) end, "'second' already")
tap.raises(function() model:add_adapter("a.b", LoraConfig{}) end, "cannot be called 'a.b'")
model:disable_adapter()
tap.ok(same(logits(model), base), "switched off until")
tap.ok(tostring(model):find("switched off", 1, true), "and print says so")
model:enable_adapter()
tap.ok(same(logits(model), second), "switched on")
model:delete_adapter("second")
tap.ok(same(logits(model), first), "deleted: the other one is active")
tap.eq(get_peft_model(model, random{}, "third").active_adapter, "third")
model:delete_adapter("third")
tap.eq(get_peft_model(model, random{}, { adapter_name = "fourth" }).active_adapter, "fourth")
model:delete_adapter("fourth")
tap.raises(function() get_peft_model(model, random{}, { adapter_nam = "x" }) end, "did you mean 'adapter_name'?")
tap.raises(function() get_peft_model(model, random{}, { mixed = true }) end, "mixed is not available")

-- saving and loading
model:save_pretrained(folder .. "/a", { base_model_name_or_path = "org/base" })
local text = read("a/adapter_config.json")
tap.ok(text:find('"base_model_name_or_path": "org/base"', 1, true) and text:sub(-1) == "}", "the configuration is there")
tap.ok(read("a/README.md"):find("library_name: peft", 1, true), "and a card")
tap.eq(PeftConfig.from_pretrained(folder .. "/a").target_modules, { "q_proj", "lm_head" })
model:unload()
tap.ok(same(logits(model), base), "unloaded: the base model")
tap.eq(PeftModel.from_pretrained(model, folder .. "/a").active_adapter, "default")
tap.ok(same(logits(model), first), "loaded: the same bits")
tap.raises(function() PeftModel.from_pretrained(model, folder .. "/a") end, "'default' already")
PeftModel.from_pretrained(model, folder .. "/a", { adapter_name = "b", is_trainable = true })
tap.eq(model.active_adapter, "b", "from_pretrained makes it the active one")
model:load_adapter(folder .. "/a", "c")
tap.eq(model.active_adapter, "b", "load_adapter does not")
model:save_pretrained(folder .. "/all")
tap.eq(read("all/b/adapter_config.json"), read("all/c/adapter_config.json"))
tap.ok(read("all/adapter_config.json"), "default goes into the folder itself, others below it")
model:save_pretrained(folder .. "/one", { selected_adapters = { "c" } })
tap.ok(not io.open(folder .. "/one/adapter_config.json") and io.open(folder .. "/one/c/adapter_config.json"), "only the chosen one")
tap.raises(function() model:save_pretrained(folder .. "/one", { selected_adapters = "x" }) end, "no adapter 'x'")
tap.raises(function() model:save_pretrained() end, "save_pretrained wants a folder")
tap.raises(function() model:save_pretrained(folder, { adapter = "c" }) end, "adapter")
local strong = load()
get_peft_model(strong, random{ target_modules = { "q_proj", "up_proj" }, rank_pattern = { q_proj = 1 } })
local strengths = logits(strong)
strong:save_pretrained(folder .. "/strong", { one_scale = true })
tap.ok(read("strong/adapter_config.json"):find('"alpha_pattern": {\n    "q_proj": 1', 1, true), "one scale for all layers")
tap.ok(distance(logits(PeftModel.from_pretrained(load(), folder .. "/strong")), strengths) < 1e-6, "and the same model")
local fresh = load()
tap.raises(function() PeftModel.from_pretrained(fresh, folder .. "/nowhere") end, "nowhere")
tap.raises(function() PeftModel.from_pretrained(fresh, folder) end, "there is no adapter_config.json")
tap.raises(function() PeftModel.from_pretrained(fresh) end, "wants an adapter's folder")
tap.raises(function() PeftModel.from_pretrained(folder .. "/a", fresh) end, "Model")
tap.raises(function() PeftModel.from_pretrained(load(tied), folder .. "/a") end, "another model")
os.execute("cp -r " .. folder .. "/a " .. folder .. "/dora")
write("dora/adapter_config.json", (text:gsub('"use_dora": false', '"use_dora": true')))
tap.raises(function() PeftModel.from_pretrained(fresh, folder .. "/dora") end, "use_dora = true is not available")
os.execute("cd " .. folder .. "/dora && cp ../a/adapter_config.json . && mv adapter_model.safetensors adapter_model.bin")
tap.raises(function() PeftModel.from_pretrained(fresh, folder .. "/dora") end, "can run code")
tap.eq(fresh.active_adapter, nil, "nothing is attached on failure")

-- with its base
write("a/adapter_config.json", (text:gsub("org/base", untied)))
tap.ok(same(logits(AutoPeftModelForCausalLM.from_pretrained(folder .. "/a")), first), "opened together with its base")
tap.ok(same(logits(AutoModelForCausalLM.from_pretrained(folder .. "/a")), first), "by AutoModelForCausalLM as well")
local both = AutoPeftModelForCausalLM.from_pretrained(folder .. "/a", { is_trainable = true, adapter_name = "x", dtype = "float32" })
tap.eq(both.active_adapter, "x")
tap.ok(both:state_dict()["base_model.model.lm_head.lora_A.x.weight"].requires_grad, "options of both kinds")
tap.raises(function() AutoPeftModelForCausalLM.from_pretrained(folder .. "/a", { is_trainabl = true }) end, "is_trainabl")
write("a/adapter_config.json", text)
tap.raises(function() AutoPeftModelForCausalLM.from_pretrained(folder .. "/a") end, "belongs to org/base, which was not found")
write("a/adapter_config.json", (text:gsub('"org/base"', "null")))
tap.raises(function() AutoPeftModelForCausalLM.from_pretrained(folder .. "/a") end, "does not say which model")

-- merging
for _, path in ipairs{ tied, untied, biased } do
    for _, options in ipairs{
        { target_modules = "all-linear", use_rslora = true, rank_pattern = { q_proj = 1 } },
        { target_modules = { "embed_tokens", "q_proj" } },
        { target_modules = { "lm_head" } },
        { target_modules = { "v_proj" }, modules_to_save = { "lm_head", "norm" } },
        { target_modules = { "v_proj" }, bias = "all" },
    } do
        local m = load(path)
        local ties = m.config.tie_word_embeddings
        get_peft_model(m, random(options))
        local adapted = logits(m)
        m:merge_adapter()
        local merged = logits(m)
        tap.ok(distance(merged, adapted) <= 1e-6, "merged = unmerged")
        tap.raises(function() m:merge_adapter() end, "cannot be merged again")
        tap.raises(function() m:disable_adapter() end, "it cannot be switched off")
        tap.raises(function() m:save_pretrained(folder .. "/m") end, "is merged into the weights")
        m:unmerge_adapter()
        tap.ok(same(logits(m), adapted) and m.config.tie_word_embeddings == ties, "unmerged: the same bits")
        tap.eq(m:merge_and_unload{ safe_merge = true }, m, "the same model is returned")
        tap.ok(same(logits(m), merged) and not m.active_adapter, "merged for good")
        local both = options.modules_to_save or type(options.target_modules) == "table"
            and options.target_modules[1] ~= "v_proj"
        tap.eq(m.config.tie_word_embeddings, ties and not both, "tied only while embedding and head are equal")
    end
end
local narrow = load()
get_peft_model(narrow, random{})
local wide = logits(narrow)
narrow:merge_and_unload{ dtype = "bfloat16" }
tap.ok(distance(logits(narrow), wide) < 0.05, "merged into 16 bits")
tap.eq(narrow:state_dict()["model.layers.0.self_attn.q_proj.weight"].dtype, "bf16")
tap.raises(function() narrow:merge_and_unload{ dtype = "q4_1" } end, "one of")
tap.raises(function() load():logits("x") end, "wants a list of token ids")
tap.raises(function() load():logits({}) end, "an empty one")
tap.raises(function() load():logits({ 1, -1 }) end, "item 2 is no token id")
tap.raises(function() load():logits({ 1, 99999 }) end, "99999")

-- training, saving, going on
local tokenizer = require("tiny").tokenizer(folder)
local rows = {}
for i = 1, 20 do rows[i] = { text = ("row %d: %s"):format(i, ("ab"):rep(i % 5 + 1)) } end
local function trainer_of(m, peft_config)
    local data = Dataset.from_list(rows)
    return SFTTrainer{ model = m, peft_config = peft_config, train_dataset = data, eval_dataset = data,
        processing_class = tokenizer,
        args = TrainingArguments{ max_steps = 8, per_device_train_batch_size = 4, learning_rate = 1e-2,
            output_dir = folder .. "/out", report_to = "none" } }
end
for i, options in ipairs{
    { target_modules = { "embed_tokens", "q_proj" } },
    { target_modules = { "lm_head", "v_proj" }, lora_dropout = 0.1 },
    { target_modules = { "q_proj" }, modules_to_save = { "lm_head", "norm" } },
    { target_modules = "all-linear", rank_pattern = { q_proj = 1 }, layers_to_transform = { 1 } },
} do
    local m, where = load(tied), folder .. "/run" .. i
    local t = trainer_of(m, LoraConfig(options))
    local before = t:evaluate().eval_loss
    t:train()
    local after = t:evaluate().eval_loss
    tap.ok(after < before - 0.05, ("it learns: %.3f -> %.3f"):format(before, after))
    m:save_pretrained(where)
    local again = PeftModel.from_pretrained(load(tied), where, { is_trainable = true })
    t = trainer_of(again)
    tap.eq(t:evaluate().eval_loss, after, "loaded: the same loss")
    t:train()
    tap.ok(t:evaluate().eval_loss < after, "and it goes on learning")
    again:merge_and_unload()
    again = PeftModel.from_pretrained(load(tied), where)
    tap.raises(function() trainer_of(again) end, "loaded without is_trainable = true")
    tap.raises(function() trainer_of(again, LoraConfig{}) end, "has an adapter already")
end

os.execute("rm -r " .. folder)
tap.done()
