-- Saving, going on, callbacks, early stopping, the best model and plots, as a person types them.
local tap = require "tap"
local tiny = require "tiny"

local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir -p " .. folder))

local tokenizer = tiny.tokenizer(folder)

local rows = {}
for i = 1, 20 do rows[i] = { text = ("row %d: %s"):format(i, ("ab"):rep(i % 5 + 1)) } end
local dataset = Dataset.from_list(rows)

local function trainer_of(more, options)
    local a = { max_steps = 6, per_device_train_batch_size = 4, learning_rate = 5e-3, logging_steps = 2,
        output_dir = folder .. "/out" }
    for k, v in pairs(more or {}) do a[k] = v end
    local t = { model = AutoModelForCausalLM.from_pretrained("tests/golden/llama_tied_gqa.gguf"),
        args = TrainingArguments(a), train_dataset = dataset, eval_dataset = dataset, processing_class = tokenizer,
        peft_config = LoraConfig{ r = 4, lora_dropout = 0.1, target_modules = "all-linear" } }
    for k, v in pairs(options or {}) do t[k] = v end
    return SFTTrainer(t)
end
local function weights(t)
    return t.model:state_dict()["base_model.model.model.layers.1.mlp.down_proj.lora_B.default.weight"]:tolist()
end
local function exists(path)
    local f = io.open(folder .. "/" .. path)
    if f then f:close() end
    return f ~= nil
end

-- defaults and their forms
local args = TrainingArguments{}
tap.eq({ args.save_strategy, args.save_steps, args.save_total_limit, args.load_best_model_at_end },
    { "steps", 500.0, 0, false })
tap.eq(args.resume_from_checkpoint, nil)
args.resume_from_checkpoint = true
tap.eq(args.resume_from_checkpoint, true, "true stays true")
args.resume_from_checkpoint = "out/checkpoint-3"
tap.eq(args.resume_from_checkpoint, "out/checkpoint-3")
args.greater_is_better = false
tap.eq(args.greater_is_better, false)
tap.raises(function() args.greater_is_better = "maybe" end, "true,false")
tap.raises(function() TrainingArguments{ report_to = "wandb" } end, "tensorboard")
tap.raises(function() TrainingArguments{ save_strategy = "step" } end, "steps")

local t
-- a run saves, another goes on, and both end in the same place
local whole = trainer_of{ save_steps = 3 }
whole:train()
tap.ok(exists("out/checkpoint-3/adapter_model.safetensors") and exists("out/checkpoint-6/trainer_state.json"), "it saves")
tap.ok(exists("out/log.jsonl"), "with a log")
os.execute("rm -r " .. folder .. "/out/checkpoint-6")
local second = trainer_of{ save_steps = 3 }
local result = second:train{ resume_from_checkpoint = true }
tap.eq(result.global_step, 6)
tap.eq(weights(second), weights(whole), "the same bits")
tap.eq(#second.state.log_history, #whole.state.log_history)
tap.eq(second.state.log_history[3].loss, whole.state.log_history[3].loss)
local third = trainer_of{ save_steps = 3, resume_from_checkpoint = folder .. "/out/checkpoint-3" }
third:train()
tap.eq(weights(third), weights(whole), "the argument does the same")
tap.raises(function() trainer_of():train{ resume_from_checkpoint = folder .. "/nothing" } end, "there is no folder")
tap.raises(function() trainer_of{ output_dir = folder .. "/empty" }:train{ resume_from_checkpoint = true } end,
    "no checkpoint to go on from")
tap.raises(function() trainer_of{ seed = 3 }:train(folder .. "/out/checkpoint-3") end, "seed was 42, found 3")
tap.raises(function() trainer_of():train{ resume_from_checkpiont = true } end, "did you mean 'resume_from_checkpoint'?")

t = trainer_of{ save_steps = 3, resume_from_checkpoint = "auto", output_dir = folder .. "/auto" }
t:train()
tap.eq(weights(t), weights(whole), "auto begins where there is nothing")
os.execute("rm -r " .. folder .. "/auto/checkpoint-6")
t = trainer_of{ save_steps = 3, resume_from_checkpoint = "auto", output_dir = folder .. "/auto" }
t:train()
tap.eq(weights(t), weights(whole), "and goes on where there is something")

-- callbacks
local seen, limit = {}, nil
local callback = {
    on_train_begin = function(a, state) seen[#seen + 1] = ("begin %d %d"):format(state.global_step, a.logging_steps) end,
    on_step_end = function(a, state, control)
        seen[#seen + 1] = "step"
        if state.global_step == limit then control.should_training_stop = true end
        if state.global_step == 1 then control.should_save = true end
        if state.global_step == 3 then control.should_evaluate = true end
    end,
    on_log = function(a, state, control, logs)
        seen[#seen + 1] = (logs.loss and "loss" or logs.eval_loss and "eval log" or "end log") .. " " .. #state.log_history
    end,
    on_evaluate = function(a, state, control, metrics) seen[#seen + 1] = "eval " .. math.type(metrics.eval_loss) end,
    on_save = function(a, state) seen[#seen + 1] = "save " .. state.global_step end,
    on_epoch_end = function() seen[#seen + 1] = "epoch" end,
    on_train_end = function() seen[#seen + 1] = "end" end,
}
t = trainer_of({ max_steps = 6, save_steps = 100, output_dir = folder .. "/calls" }, { callbacks = { callback } })
t:train()
tap.eq(seen, { "begin 0 2", "step", "save 1", "step", "loss 1", "step", "eval log 2", "eval float", "step", "loss 3", "step",
    "epoch", "step", "loss 4", "save 6", "end log 5", "end" }, "every event in its order")
seen, limit = {}, 2
t = trainer_of({ output_dir = folder .. "/calls2", save_strategy = "no" }, { callbacks = { callback } })
result = t:train()
tap.eq(result.global_step, 2, "a callback stops the run")
tap.ok(exists("calls2/checkpoint-1") and not exists("calls2/log.jsonl"), "only what a callback asked for is written")
limit = nil
tap.eq(t:train().global_step, 6, "train() goes on")
t = trainer_of{ save_strategy = "no", output_dir = folder .. "/none" }
local count = 0
local counter = { on_step_end = function() count = count + 1 if count == 2 then error("oops", 0) end end }
t:add_callback(counter)
tap.raises(function() t:train() end, "oops")
tap.eq(t.state.global_step, 2, "a failing callback pauses")
tap.eq(t:train().global_step, 6, "and it goes on")
tap.eq(count, 6)
tap.ok(not exists("none"), "save_strategy = no writes nothing")
t:remove_callback(counter)
tap.raises(function() t:remove_callback(counter) end, "no such callback")
tap.raises(function() t:add_callback{ on_stepend = print } end, "did you mean 'on_step_end'?")
tap.raises(function() t:add_callback{ on_log = 5 } end, "wanted a function")
tap.raises(function() t:add_callback{} end, "without a function")
tap.raises(function() t:add_callback(7) end, "wanted a table")
tap.raises(function() trainer_of(nil, { callbacks = { on_log = print } }) end, "wants a list")

-- a callback may evaluate, which adds to the log that the next callback looks at
local nested, got = {}, {}
t = trainer_of({ save_strategy = "no", logging_steps = 1 }, { callbacks = { { on_step_end = function()
    for _ = 1, 20 do nested.trainer:evaluate() end end, on_log = function(_, _, _, logs) got[#got + 1] = logs.step end } } })
nested.trainer = t
t:train()
tap.eq(#t.state.log_history, 6 * 21 + 1)
tap.eq(#got, 6 * 21 + 1)
tap.raises(function() trainer_of({ save_strategy = "no", max_steps = 1 }, { callbacks = { { on_step_end = function(_, _, control)
    control.should_stop = true end } } }):train() end, "control has no 'should_stop'")

-- stopping early, and the best model
local early = EarlyStoppingCallback{ early_stopping_patience = 2 }
tap.eq({ early.early_stopping_patience, early.early_stopping_threshold }, { 2, 0.0 })
tap.eq(EarlyStoppingCallback(3, 0.5).early_stopping_threshold, 0.5)
tap.raises(function() trainer_of(nil, { callbacks = { early } }) end, "metric_for_best_model")
tap.raises(function() trainer_of({ metric_for_best_model = "loss" }, { callbacks = { early } }) end, "nothing is evaluated")
t = trainer_of({ max_steps = 30, eval_strategy = "steps", eval_steps = 2, save_strategy = "best", learning_rate = 0,
    load_best_model_at_end = true, output_dir = folder .. "/best" }, { callbacks = { early } })
result = t:train()
tap.eq(result.global_step, 6, "two evaluations without a better one end it")
tap.eq(t.state.best_global_step, 2)
tap.ok(t.state.best_model_checkpoint:find("checkpoint-2", 1, true), "the best checkpoint is known")
tap.raises(function() trainer_of{ load_best_model_at_end = true } end, "to be the same")

-- saving by hand
t:save_model(folder .. "/final")
tap.ok(exists("final/adapter_model.safetensors") and exists("final/adapter_config.json") and exists("final/README.md"),
    "save_model writes an adapter")
t:save_state()
tap.ok(exists("best/trainer_state.json"), "save_state writes the log")
tap.raises(function() t:save_model("tests/golden") end, "folder of the base model")

-- plots
t:plot(folder .. "/loss.svg")
tap.ok(io.open(folder .. "/loss.svg"):read("a"):find("</svg>", 1, true), "plot writes SVG")
tap.raises(function() t:plot(folder .. "/loss.png") end, ".svg")

os.execute("rm -r " .. folder)
tap.done()
