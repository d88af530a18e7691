-- decode.lua -- greedy decoding with lorash: TOKENS tokens after a prompt; run by decode.
--
--   lorash decode.lua MODEL.gguf TOKENS PROMPT
local path, count, prompt = arg[1], math.tointeger(arg[2]), arg[3]
local tokenizer = AutoTokenizer.from_pretrained(path)
local model = AutoModelForCausalLM.from_pretrained(path)
local options = {do_sample = false, repetition_penalty = 1.0}
options.max_new_tokens = 8
model:generate(tokenizer, prompt, options) -- warms up
options.max_new_tokens = count
local text = model:generate(tokenizer, prompt, options)
print("text: " .. ("%q"):format(tostring(text)):gsub("\\?\n", "\\n"))
print(("bench: steps=%d tokens=%d seconds=%.6f prompt_tokens=%d"):format(text.tokens, text.tokens,
    (text.tokens - 1) / text.tokens_per_second, #tokenizer:encode(prompt)))
