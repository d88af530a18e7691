-- soak.lua -- does memory stay where it is? Run by scripts/soak: lorash scripts/soak.lua WHAT COUNT
--
-- Prints one line: what was done how often, and how much the resident memory grew between a tenth of
-- the way and the end, in KiB. Exit 1 when it grew by more than the limit.
local what, count = arg[1], tonumber(arg[2])
local limit = tonumber(arg[3] or 64)
local model_path = "tests/golden/llama_tied_gqa.gguf"

local function resident()
    collectgarbage()
    collectgarbage()
    local pages = tonumber(io.open("/proc/self/statm"):read("a"):match("^%d+ (%d+)"))
    return pages * 4
end

local early, late

local function steps()
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    local tokenizer = dofile("tests/lua/tiny.lua").tokenizer(folder)
    assert(os.execute("rm -r " .. folder))
    local rows = {}
    for i = 1, 50 do rows[i] = { text = ("row %d: %s"):format(i, ("ab"):rep(i % 5 + 1)) } end
    local trainer = SFTTrainer{
        model = AutoModelForCausalLM.from_pretrained(model_path),
        args = TrainingArguments{ max_steps = count, per_device_train_batch_size = 4, logging_strategy = "no",
            save_strategy = "no", learning_rate = 1e-4, output_dir = folder .. "-out" },
        train_dataset = Dataset.from_list(rows),
        processing_class = tokenizer,
        peft_config = LoraConfig{ r = 4, lora_dropout = 0.1, target_modules = "all-linear" },
        callbacks = { { on_step_end = function(_, state)
            if state.global_step == count // 10 then early = resident() end
            if state.global_step == count then late = resident() end
        end } },
    }
    trainer:train()
end

local function models()
    for i = 1, count do
        local model = AutoModelForCausalLM.from_pretrained(model_path)
        local tensor = model:state_dict()["model.norm.weight"]
        model, tensor = nil, nil
        collectgarbage()
        if i == count // 10 then early = resident() end
    end
    late = resident()
end

local function lines()
    local chunk = load("local t = {} for i = 1, 20 do t[i] = i * 2 end x = #t; y = ('row %d'):format(x)")
    for i = 1, count do
        chunk()
        load("z" .. i % 50 .. " = { " .. i .. ", 'text' }")()
        if i == count // 10 then early = resident() end
    end
    late = resident()
end

({ steps = steps, models = models, lines = lines })[what]()
local descriptors = 0
for _ in io.popen("ls /proc/" .. io.open("/proc/self/stat"):read("a"):match("^%d+") .. "/fd"):lines() do
    descriptors = descriptors + 1
end
print(("%-7s %7d times: resident %d KiB, grew %d KiB (limit %d), %d descriptors"):format(what, count, late, late - early,
    limit, descriptors))
os.exit(late - early <= limit and 0 or 1)
