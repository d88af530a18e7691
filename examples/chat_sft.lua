-- chat_sft.lua -- teaches a chat model from conversations; only its own answers are learned.
--
--   lorash examples/chat_sft.lua [rows.jsonl] [--model file] [--max_steps 5] ...
--
-- Each row has a column "messages": a list of {role, content}. The model's chat template makes the
-- text; with assistant_only_loss the questions are read, not learned.

local here = arg[0]:match("^(.*/)") or "./"
local cache = (os.getenv("XDG_CACHE_HOME") or (os.getenv("HOME") or ".") .. "/.cache") .. "/lorash/"

local args, own = cli(SFTConfig{
    output_dir = "library-chat",
    num_train_epochs = 6,
    per_device_train_batch_size = 8,
    learning_rate = 5e-4,
    lr_scheduler_type = "cosine",
    warmup_ratio = 0.1,
    assistant_only_loss = true,
    save_strategy = "no",
}, {
    rows = here .. "data/library_chat.jsonl",
    model = os.getenv("LORASH_DEMO_MODEL") or cache .. "SmolLM2-135M-Instruct.Q4_1.gguf",
    "rows",
})

local dataset = load_dataset("json", { data_files = own.rows, split = "train" })
print(dataset)
local tokenizer = AutoTokenizer.from_pretrained(own.model)
local model = AutoModelForCausalLM.from_pretrained(own.model)

local system = dataset[1].messages[1]
local function ask(question)
    local prompt = tokenizer:apply_chat_template({ system, { role = "user", content = question } },
        { tokenize = false, add_generation_prompt = true })
    local answer = model:generate(tokenizer, prompt, { max_new_tokens = 40, do_sample = false })
    print(question .. "\n    " .. tostring(answer))
end
local questions = { "When do you open?", "Can I borrow films?", "Is the library open on Sunday afternoon?" }

print("\n--- before")
for _, question in ipairs(questions) do ask(question) end

local trainer = SFTTrainer{
    model = model,
    args = args,
    train_dataset = dataset,
    processing_class = tokenizer,
    peft_config = LoraConfig{ r = 16, lora_alpha = 32, target_modules = "all-linear" },
}
trainer:show_row(1) -- what is learned of the first row
trainer:train()

print("\n--- after")
for _, question in ipairs(questions) do ask(question) end
