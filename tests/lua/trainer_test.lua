-- The main job on a tiny model: load, inspect, adapt, plan, train, evaluate, generate.
local tap = require "tap"
local tiny = require "tiny"

local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir -p " .. folder))
local tokenizer = tiny.tokenizer(folder)
tap.eq(tokenizer:decode(tokenizer:encode("Hello, world!")), "Hello, world!", "the tokenizer reads its own text")

local path = "tests/golden/llama_tied_gqa.gguf"
local function load(options) return AutoModelForCausalLM.from_pretrained(path, options) end

-- looking at a model
local model = load()
tap.ok(tostring(model):find("LlamaForCausalLM", 1, true), "prints its class")
tap.eq(model.config.num_hidden_layers, 2)
model.config.use_cache = false
tap.eq(model.config.use_cache, false, "a notebook's assignment is kept")
local names = {}
for name in model:state_dict():keys("*layers.0*q_proj*") do names[#names + 1] = name end
tap.eq(names, { "model.layers.0.self_attn.q_proj.weight" })
local count = 0
for name, t in model:state_dict():pairs() do
    count = count + t:numel()
end
tap.eq(count, model:num_parameters(), "pairs walks every weight once")
tap.eq(model:state_dict()["model.norm.weight"]:shape(), { 32 })
tap.raises(function() return model:state_dict()["model.norm.weigh"] end, "did you mean 'model.norm.weight'?")
tap.raises(function() return model.generat end, "did you mean 'generate'?")

-- opening what cannot be opened
tap.raises(function() AutoModelForCausalLM.from_pretrained("tests/golden/nothing.gguf") end, "nothing.gguf")
tap.raises(function() AutoModelForCausalLM.from_pretrained("README.md") end, "GGUF")
tap.raises(function() load{ dtype = "int3" } end, "one of")
tap.raises(function() load{ torch_dtyp = "auto" } end, "did you mean 'dtype'?")

-- generating
local greedy = { max_new_tokens = 8, do_sample = false }
local text = model:generate(tokenizer, "abc", greedy)
tap.eq(text.tokens, #text.ids)
tap.eq(tostring(text) .. "", text.text, "tostring and .. give the completion")
tap.eq(tostring(model:generate(tokenizer, "abc", greedy)), text.text, "greedy text is the same again")
tap.eq(model:generate(tokenizer:encode("abc"), greedy).ids, text.ids, "token ids work as a prompt")
tap.eq(#model:generate(tokenizer, { "abc", "d" }, greedy), 2, "a list gives a list")
local sampled = { max_new_tokens = 8, do_sample = true, temperature = 1.5, seed = 3 }
tap.eq(model:generate(tokenizer, "abc", sampled).ids, model:generate(tokenizer, "abc", sampled).ids,
    "one seed, one text")
local first = text.text:sub(3, 3)
local stopped = model:generate(tokenizer, "abc", { max_new_tokens = 8, stop_strings = { first } })
tap.ok(not stopped.text:find(first, 1, true) and stopped.reason == "stop", "stop strings end the text")
tap.raises(function() model:generate(tokenizer, "abc", { temperature = 0 }) end, "out of range")
tap.raises(function() model:generate(tokenizer, "abc", { max_new_token = 3 }) end, "did you mean 'max_new_tokens'?")
tap.raises(function() model:generate(tokenizer, "") end, "no token")
tap.raises(function() model:generate("abc") end, "Tokenizer")
tap.raises(function() model:generate({ 999 }) end, "id 999")

-- rows
local rows = {}
for i = 1, 24 do rows[i] = { text = ("row %d: %s"):format(i, ("ab"):rep(i % 5 + 1)) } end
local dataset = Dataset.from_list(rows)
local lora = LoraConfig{ r = 4, lora_alpha = 8, target_modules = "all-linear" }
tap.eq(lora.r, 4)
tap.raises(function() return LoraConfig{ r = 0 } end, "out of range")
tap.raises(function() return LoraConfig{ lora_dropout = 8.95 } end, "wanted 0 to 0.999")
local function arguments(more)
    local t = { max_steps = 6, per_device_train_batch_size = 4, learning_rate = 5e-3, logging_steps = 1,
        output_dir = folder .. "/out" }
    for k, v in pairs(more or {}) do t[k] = v end
    return TrainingArguments(t)
end
local function trainer_of(m, more, options)
    local t = { model = m, args = arguments(more), train_dataset = dataset, processing_class = tokenizer, peft_config = lora }
    for k, v in pairs(options or {}) do t[k] = v end
    return SFTTrainer(t)
end

-- refusals leave the model as it was
tap.raises(function() trainer_of(model, { optim = "adamx" }) end, "adamw_torch")
tap.raises(function() trainer_of(model, { lr_scheduler_type = "cosin" }) end, "cosine")
tap.raises(function() trainer_of(model, { dataset_text_field = "txt" }) end, "text")
tap.raises(function() trainer_of(model, nil, { peft_config = LoraConfig{ target_modules = { "Wqkv" } } }) end, "q_proj")
tap.raises(function() trainer_of(model, nil, { train_dataset = Dataset.from_list{ { text = "" } }, args = arguments{ append_eos = false } }) end,
    "has a token to learn")
tap.raises(function() SFTTrainer{ model = model, train_dataset = dataset } end, "processing_class is missing")
tap.raises(function() SFTTrainer{ model = model, train_datase = dataset } end, "did you mean 'train_dataset'?")
tap.ok(not model:state_dict():keys()[1]:find("base_model", 1, true), "no adapter is left behind")

-- training
local trainer = trainer_of(model, { eval_strategy = "steps", eval_steps = 3 }, { eval_dataset = dataset })
tap.ok(model:state_dict():keys()[1]:find("base_model.model.", 1, true), "names as PEFT's")
local before = trainer:evaluate().eval_loss
local adapted = tostring(model:generate(tokenizer, "abc", greedy))
tap.eq(adapted, text.text, "a fresh adapter changes nothing")
local result = trainer:train()
tap.eq(result.status, "done")
tap.eq(result.global_step, 6)
local after = trainer:evaluate().eval_loss
tap.ok(after < before - 0.1, ("it learns: %.3f -> %.3f"):format(before, after))
local losses, evals = 0, 0
for _, entry in ipairs(trainer.state.log_history) do
    losses = losses + (entry.loss and 1 or 0)
    evals = evals + (entry.eval_loss and 1 or 0)
end
tap.eq({ losses, evals }, { 6, 4 }, "log_history holds every step and evaluation")
tap.eq(trainer:train().global_step, 6, "a finished run stays finished")
local trained = model:state_dict()["base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight"]
tap.ok(trained:abs():max():item() > 0, "B has moved")
tap.eq(model:disable_adapter(function() return tostring(model:generate(tokenizer, "abc", greedy)) end), text.text,
    "without the adapter the base model speaks")
tap.raises(function() model:disable_adapter(function() error("oops", 0) end) end, "oops")
tap.raises(function() get_peft_model(model, lora) end, "has an adapter already")

-- the same seed, the same bits; also through get_peft_model and a formatting function
local function train_again(options, data)
    local m = load()
    local t = trainer_of(m, { lr_scheduler_type = "cosine", warmup_steps = 2 }, options)
    t:train()
    return m:state_dict()["base_model.model.model.layers.1.mlp.down_proj.lora_B.default.weight"]:tolist()
end
local one = train_again()
tap.eq(train_again(), one, "two runs, the same bits")
tap.eq(train_again{ formatting_func = function(row) return row.text end }, one, "formatting_func gives the same rows")
tap.eq(train_again{ train_dataset = DataFrame(dataset) }, one, "a DataFrame does as well")
local other = train_again{ args = arguments{ seed = 7, lr_scheduler_type = "cosine", warmup_steps = 2 } }
tap.ok(lorash.probe.show(other) ~= lorash.probe.show(one), "another seed, another run")

-- prompt and completion: only the completion is learned
local pairs_data = Dataset.from_list{ { prompt = "aaaa", completion = "bb" }, { prompt = "cc", completion = "d" } }
local t2 = trainer_of(load(), { max_steps = 1 }, { train_dataset = pairs_data })
t2:train()
tap.eq(t2.state.global_step, 1, "prompt and completion rows train")

-- full fine-tuning of float weights
local full = load()
local t3 = SFTTrainer{ model = full, args = arguments(), train_dataset = dataset, processing_class = tokenizer, eval_dataset = dataset }
local b3 = t3:evaluate().eval_loss
t3:train()
tap.ok(t3:evaluate().eval_loss < b3 - 0.1, "full fine-tuning learns")

os.execute("rm -r " .. folder)
tap.done()
