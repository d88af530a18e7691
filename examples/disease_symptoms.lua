-- disease_symptoms.lua -- teaches a small chat model to name the symptoms of a condition.
--
--   lorash examples/disease_symptoms.lua [rows.csv] [--model file.gguf] [--max_steps 5] ...
--
-- The CSV has the columns Name and Symptoms. Without one, examples/data/conditions.csv is used.
-- Every training option can be set on the command line; --help lists them. Interrupted, it writes a
-- checkpoint and prints the command that goes on (--resume_from_checkpoint).

local here = arg[0]:match("^(.*/)") or "./"
local cache = (os.getenv("XDG_CACHE_HOME") or (os.getenv("HOME") or ".") .. "/.cache") .. "/lorash/"

local args, own = cli(TrainingArguments{
    output_dir = "disease-symptoms",
    num_train_epochs = 2,
    per_device_train_batch_size = 8,
    learning_rate = 5e-4,
    lr_scheduler_type = "cosine",
    warmup_ratio = 0.05,
    logging_steps = 5,
    max_length = 256,
    dataset_text_field = "Text",
}, {
    csv = here .. "data/conditions.csv",
    model = os.getenv("LORASH_DEMO_MODEL") or cache .. "SmolLM2-135M-Instruct.Q4_1.gguf",
    "csv", -- may be given without --csv
})

-- 1. The rows: one text each.
local df = DataFrame(load_dataset("csv", { data_files = own.csv, split = "train" }))
print(df[{ "Name", "Symptoms" }]:head(5))
df.Text = df:apply(function(row)
    return fmt("Condition: {Name}\nSymptoms: {Symptoms}", row)
end)
local dataset = Dataset.from_pandas(df[{ "Text" }])

-- 2. The model and its tokenizer.
local tokenizer = AutoTokenizer.from_pretrained(own.model)
tokenizer.pad_token = tokenizer.eos_token
local model = AutoModelForCausalLM.from_pretrained(own.model)

-- 3. What it says before and after.
local names = { df.Name[1], df.Name[math.max(1, #df // 2)], df.Name[#df] }
local function ask(when)
    print(("\n--- %s training"):format(when))
    for _, name in ipairs(names) do
        local text = model:generate(tokenizer, "Condition: " .. name .. "\nSymptoms:",
            { max_new_tokens = 40, do_sample = false, stop_strings = { "\n" } })
        print(("%s ->%s"):format(name, text))
    end
end
ask("before")

-- 4. Training.
local trainer = SFTTrainer{
    model = model,
    args = args,
    train_dataset = dataset,
    processing_class = tokenizer,
    peft_config = LoraConfig{ r = 8, lora_alpha = 16, target_modules = "all-linear" },
}
print()
trainer:train()
ask("after")
