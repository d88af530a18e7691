-- early_stopping.lua -- trains until the evaluation loss no longer falls, and keeps the best model.
--
--   lorash examples/early_stopping.lua [rows.csv] [--model file] [--eval_steps 4] ...

local here = arg[0]:match("^(.*/)") or "./"
local cache = (os.getenv("XDG_CACHE_HOME") or (os.getenv("HOME") or ".") .. "/.cache") .. "/lorash/"

local args, own = cli(SFTConfig{
    output_dir = "early-stopping",
    num_train_epochs = 12, -- far too many: stopping is up to the evaluation
    per_device_train_batch_size = 8,
    learning_rate = 2e-3,
    max_length = 256,
    eval_strategy = "steps",
    eval_steps = 5,
    save_strategy = "steps",
    save_steps = 5,
    save_total_limit = 2,
    load_best_model_at_end = true,
    metric_for_best_model = "eval_loss",
    greater_is_better = false,
}, {
    csv = here .. "data/conditions.csv",
    model = os.getenv("LORASH_DEMO_MODEL") or cache .. "SmolLM2-135M-Instruct.Q4_1.gguf",
    "csv",
})

local df = DataFrame(load_dataset("csv", { data_files = own.csv, split = "train" }))
df.text = df:apply(function(row) return fmt("Condition: {Name}\nSymptoms: {Symptoms}", row) end)
local rows = Dataset.from_pandas(df[{ "text" }]):train_test_split{ test_size = 0.25, seed = 42 }

local tokenizer = AutoTokenizer.from_pretrained(own.model)
local model = AutoModelForCausalLM.from_pretrained(own.model)
local trainer = SFTTrainer{
    model = model,
    args = args,
    train_dataset = rows.train,
    eval_dataset = rows.test,
    processing_class = tokenizer,
    peft_config = LoraConfig{ r = 16, lora_alpha = 32, target_modules = "all-linear" },
    callbacks = { EarlyStoppingCallback{ early_stopping_patience = 2 } },
}
trainer:train()

trainer:plot()
trainer:plot(args.output_dir .. "/loss.svg")
print(("the best model (in memory now): eval_loss %.3f"):format(trainer:evaluate().eval_loss))
trainer:save_model(args.output_dir .. "/best")
