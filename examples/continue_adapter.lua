-- continue_adapter.lua -- opens an adapter that lorash or PEFT has saved and trains it further.
--
--   lorash examples/continue_adapter.lua --adapter FOLDER [--model file] [--max_steps 5] ...
--
-- Without --adapter a fresh one is trained on the first half of the rows and saved first, so that
-- the recipe can be tried alone.

local here = arg[0]:match("^(.*/)") or "./"
local cache = (os.getenv("XDG_CACHE_HOME") or (os.getenv("HOME") or ".") .. "/.cache") .. "/lorash/"

local args, own = cli(SFTConfig{
    output_dir = "continued-adapter",
    num_train_epochs = 1,
    learning_rate = 3e-4,
    max_length = 256,
    save_strategy = "no",
}, {
    adapter = "",
    csv = here .. "data/conditions.csv",
    model = os.getenv("LORASH_DEMO_MODEL") or cache .. "SmolLM2-135M-Instruct.Q4_1.gguf",
})

local df = DataFrame(load_dataset("csv", { data_files = own.csv, split = "train" }))
df.text = df:apply(function(row) return fmt("Condition: {Name}\nSymptoms: {Symptoms}", row) end)
local rows = Dataset.from_pandas(df[{ "text" }]):train_test_split{ test_size = 0.5, seed = 1 }
local tokenizer = AutoTokenizer.from_pretrained(own.model)

local function train(model, data, config)
    local trainer = SFTTrainer{
        model = model, args = args, train_dataset = data, eval_dataset = rows.test,
        processing_class = tokenizer, peft_config = config,
    }
    local before = trainer:evaluate().eval_loss
    trainer:train()
    print(("loss on the second half: %.3f -> %.3f"):format(before, trainer:evaluate().eval_loss))
end

local adapter = own.adapter
if adapter == "" then
    adapter = args.output_dir .. "/first"
    local model = AutoModelForCausalLM.from_pretrained(own.model)
    train(model, rows.train, LoraConfig{ r = 8, lora_alpha = 16, target_modules = "all-linear" })
    model:save_pretrained(adapter)
end

-- is_trainable = false would open it for generation only.
local base = AutoModelForCausalLM.from_pretrained(own.model)
local model = PeftModel.from_pretrained(base, adapter, { is_trainable = true })
train(model, rows.test)
model:save_pretrained(args.output_dir .. "/second")
print("saved: " .. args.output_dir .. "/second")
