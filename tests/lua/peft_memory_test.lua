-- peft_memory_test.lua -- memory runs out at every point of work with adapters: an error, the model as
-- it was, and the same work succeeds afterwards. (A sanitizer build also sees what was lost.)
local tap = require "tap"
local probe = lorash.probe

local folder = os.tmpname()
os.remove(folder)
local function load() return AutoModelForCausalLM.from_pretrained("tests/golden/llama_tied_gqa.gguf") end
local model = load()
local ids = { 3, 17, 5, 30, 11 }
local function row() return model:logits(ids)[5]:tolist() end
local function config()
    return LoraConfig{ r = 2, target_modules = { "q_proj", "lm_head" }, rank_pattern = { q_proj = 1 },
        modules_to_save = { "norm" }, init_lora_weights = false }
end
local base = row()
get_peft_model(model, config()):save_pretrained(folder)
local adapted = row()
model:unload()

-- what to do, and what the model must say when it failed
local works = {
    attach = function() get_peft_model(model, config()) end,
    load = function() PeftModel.from_pretrained(model, folder, { is_trainable = true }) end,
    read = function() return tostring(PeftConfig.from_pretrained(folder)), model:logits(ids) end,
    merge = function() model:merge_adapter() end,
    unload = function() model:merge_and_unload() end,
    save = function() model:save_pretrained(folder .. "/save") end,
    names = function() return model.peft_config, model:state_dict():keys(), tostring(model) end,
}
local on_adapter = { merge = true, unload = true, save = true, names = true }

local function same(a, b)
    for i, v in ipairs(a) do
        if v ~= b[i] then return false end
    end
    return true
end

local names = {}
for name in pairs(works) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
    local n, seen, failed, why = 0, 0, 0, nil
    repeat
        n = n + 1
        if name == "unload" then model = load() else model:unload() end
        if on_adapter[name] then PeftModel.from_pretrained(model, folder) end
        collectgarbage()
        probe.fail_at(n, false)
        local ok, err = pcall(works[name])
        seen = probe.fail_at(0)
        failed = failed + (ok and 0 or 1)
        if not ok then
            if not tostring(err):find("memory", 1, true) then why = n .. ": " .. tostring(err) end
            -- what was done before memory ran out for its message may stay: all of it or nothing
            local now = row()
            if not same(now, base) and not same(now, adapted) then
                why = n .. ": the model was changed"
            end
        end
    until seen < n or why or n > 20000
    if name == "unload" then model = load() else model:unload() end
    if on_adapter[name] then PeftModel.from_pretrained(model, folder) end
    local again, err = pcall(works[name])
    tap.ok(seen < n and not why and failed > 3 and again,
        ("%s: %d allocations made to fail, %d seen as errors"):format(name, n - 1, failed), why or tostring(err))
end
os.execute("rm -r " .. folder)
tap.done()
