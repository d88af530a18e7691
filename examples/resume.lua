-- resume.lua -- a run that may be killed at any moment and goes on where it was.
--
--   lorash examples/resume.lua                                  # kill it (Ctrl-C, kill, kill -9, power)
--   lorash examples/resume.lua --resume_from_checkpoint true    # goes on from the newest checkpoint
--
-- The result has the same bits as that of a run that was never stopped: the last line shows a
-- fingerprint of the adapter's weights to compare.

local here = arg[0]:match("^(.*/)") or "./"
local cache = (os.getenv("XDG_CACHE_HOME") or (os.getenv("HOME") or ".") .. "/.cache") .. "/lorash/"

local args, own = cli(SFTConfig{
    output_dir = "resume-run",
    num_train_epochs = 2,
    per_device_train_batch_size = 8,
    learning_rate = 5e-4,
    lr_scheduler_type = "cosine",
    max_length = 256,
    logging_steps = 1,
    save_steps = 5,
    save_total_limit = 2,
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
    peft_config = LoraConfig{ r = 8, lora_alpha = 16, lora_dropout = 0.05, target_modules = "all-linear" },
}
trainer:train()

local sum = 0.0
for name, tensor in model:state_dict():pairs("*lora_*") do
    sum = sum + tensor:pow(2):sum():item()
end
print(("step %d, sum of squares of the adapter: %.17g"):format(trainer.state.global_step, sum))
