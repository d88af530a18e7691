-- train.lua -- one timed window of LoRA training with lorash; run by train_cpu and busy.
--
--   lorash train.lua MODEL.gguf ROWS.csv DTYPE BATCH MAX_LENGTH WARMUP STEPS
--
-- Two trainers on the same model, the first for warming up: the second starts at the first row
-- again with fresh moments, as train_peer.py does too. Only the second is timed.
local path, csv, dtype, batch, max_length, warmup, steps = table.unpack(arg)
batch, max_length = math.tointeger(batch), math.tointeger(max_length)
warmup, steps = math.tointeger(warmup), math.tointeger(steps)

local rows = load_dataset("csv", {data_files = csv, split = "train"})
local tokenizer = AutoTokenizer.from_pretrained(path)
local model = AutoModelForCausalLM.from_pretrained(path, {dtype = dtype})
local losses, norms = {}, {}

local function run(count, peft_config)
    local trainer = SFTTrainer{
        model = model,
        train_dataset = rows,
        processing_class = tokenizer,
        peft_config = peft_config,
        args = TrainingArguments{
            max_steps = count,
            per_device_train_batch_size = batch,
            max_length = max_length,
            learning_rate = 2e-4,
            lr_scheduler_type = "constant",
            train_sampling_strategy = "sequential",
            logging_steps = 1,
            save_strategy = "no",
            seed = 42,
        },
    }
    local result = trainer:train()
    for _, entry in ipairs(trainer.state.log_history) do
        if entry.loss then
            losses[#losses + 1] = ("%.9g"):format(entry.loss)
            norms[#norms + 1] = ("%.9g"):format(entry.grad_norm)
        end
    end
    return result
end

run(warmup, LoraConfig{r = 8, lora_alpha = 16, target_modules = "all-linear"})
collectgarbage() -- the first trainer's moments are not the second's memory
local result = run(steps)

local trained = 0
for _, tensor in model:state_dict():pairs() do
    if tensor.requires_grad then
        local n = 1
        for _, size in ipairs(tensor:shape()) do
            n = n * size
        end
        trained = trained + n
    end
end
local tokens = math.floor(result.tokens_per_second * result.train_runtime + 0.5)
print(("bench: losses=%s norms=%s trained=%d"):format(table.concat(losses, ","),
    table.concat(norms, ","), trained))
print(("bench: steps=%d tokens=%d seconds=%.6f"):format(steps, tokens, result.train_runtime))
