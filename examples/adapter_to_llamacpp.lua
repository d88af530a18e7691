-- adapter_to_llamacpp.lua -- trains a small adapter and carries it to llama.cpp, PEFT and transformers.
--
--   lorash examples/adapter_to_llamacpp.lua [--model file.gguf] [--max_steps 5] ...
--
-- Writes into output_dir:
--   adapter/            PEFT: adapter_config.json, adapter_model.safetensors
--   adapter.gguf        the adapter for llama.cpp:  llama-cli -m BASE.gguf --lora adapter.gguf
--   merged-q8_0.gguf    base and adapter in one:    llama-cli -m merged-q8_0.gguf

local here = arg[0]:match("^(.*/)") or "./"
local cache = (os.getenv("XDG_CACHE_HOME") or (os.getenv("HOME") or ".") .. "/.cache") .. "/lorash/"

local args, own = cli(SFTConfig{
    output_dir = "to-llamacpp",
    num_train_epochs = 1,
    learning_rate = 5e-4,
    max_length = 256,
    save_strategy = "no",
}, {
    csv = here .. "data/conditions.csv",
    model = os.getenv("LORASH_DEMO_MODEL") or cache .. "SmolLM2-135M-Instruct.Q4_1.gguf",
})

local df = DataFrame(load_dataset("csv", { data_files = own.csv, split = "train" }))
df.text = df:apply(function(row) return fmt("Condition: {Name}\nSymptoms: {Symptoms}", row) end)

local tokenizer = AutoTokenizer.from_pretrained(own.model)
local model = AutoModelForCausalLM.from_pretrained(own.model)
local trainer = SFTTrainer{
    model = model,
    args = args,
    train_dataset = df,
    processing_class = tokenizer,
    peft_config = LoraConfig{ r = 8, lora_alpha = 16, target_modules = "all-linear" },
}
trainer:train()

local out = args.output_dir .. "/"
-- PEFT and vLLM ask for the base model by its name on the hub.
model:save_pretrained(out .. "adapter", { base_model_name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct" })
model:save_adapter_gguf(out .. "adapter.gguf")

local prompt = "Condition: Measles\nSymptoms:"
local options = { max_new_tokens = 30, do_sample = false, stop_strings = { "\n" } }
print("with the adapter:" .. tostring(model:generate(tokenizer, prompt, options)))

model = model:merge_and_unload()
model:save_gguf(out .. "merged-q8_0.gguf", { dtype = "q8_0", tokenizer = tokenizer })

-- What was written is read back: the file that goes out is the one that was tried.
local again = AutoModelForCausalLM.from_pretrained(out .. "merged-q8_0.gguf")
print("merged, from its file:" .. tostring(again:generate(tokenizer, prompt, options)))
