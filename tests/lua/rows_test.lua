-- rows_test.lua -- rows in every shape given to SFTTrainer: what is learned, show_row, lint, mistakes.
local cases = dofile("tests/lua/cases.lua")
local equal, fails, holds = cases.equal, cases.fails, cases.holds
local test = {}

local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir -p " .. folder))

-- A tokenizer for the fixture's 97 ids: printable ASCII in byte-level spelling, '~' as a line end.
local function make_tokenizer()
    local entries = { '"<|end|>":0', '"<|pad|>":1' }
    for code = 33, 125 do
        local c = string.char(code)
        if c == '"' or c == "\\" then c = "\\" .. c end
        entries[#entries + 1] = ('"%s":%d'):format(c, code - 31)
    end
    entries[#entries + 1] = '"\u{10A}":95'
    entries[#entries + 1] = '"\u{120}":96'
    local file = assert(io.open(folder .. "/tokenizer.json", "w"))
    file:write('{"version":"1.0","added_tokens":[{"id":0,"content":"<|end|>","single_word":false,"lstrip":false,'
        .. '"rstrip":false,"normalized":false,"special":true},{"id":1,"content":"<|pad|>","single_word":false,'
        .. '"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"normalizer":null,"pre_tokenizer":{"type":'
        .. '"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":null,"decoder":'
        .. '{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},"model":{"type":"BPE",'
        .. '"dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,'
        .. '"byte_fallback":false,"vocab":{' .. table.concat(entries, ",") .. '},"merges":[]}}')
    file:close()
    local tokenizer = AutoTokenizer.from_pretrained(folder .. "/tokenizer.json")
    tokenizer.eos_token = "<|end|>"
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>\n{% endfor %}"
        .. "{% if add_generation_prompt %}assistant: {% endif %}"
    return tokenizer
end

local tokenizer = make_tokenizer()

local function trainer_of(rows, config, options)
    local args = { max_steps = 1, output_dir = folder .. "/out" }
    for k, v in pairs(config or {}) do args[k] = v end
    local t = { model = AutoModelForCausalLM.from_pretrained("tests/golden/llama_tied_gqa.gguf"), args = SFTConfig(args),
        train_dataset = rows and Dataset.from_list(rows), processing_class = tokenizer, peft_config = LoraConfig{ r = 2 } }
    for k, v in pairs(options or {}) do t[k] = v end
    return SFTTrainer(t)
end

-- Row n as its text with what is learned in brackets.
local function marked(trainer, n)
    local out, inside = {}, false
    for _, token in trainer:show_row(n, { tokens = true }) do
        if token.learned ~= inside then out[#out + 1] = token.learned and "[" or "]" end
        inside = token.learned
        out[#out + 1] = token.token
    end
    return table.concat(out) .. (inside and "]" or "")
end

local chat = { { role = "user", content = "hi" }, { role = "assistant", content = "yo" } }

function test.shapes()
    equal(marked(trainer_of{ { text = "abc" } }, 1), "a[bc<|end|>]") -- nothing predicts the first
    equal(marked(trainer_of{ { prompt = "why", completion = "so" } }, 1), "why[so<|end|>]")
    equal(marked(trainer_of({ { prompt = "why", completion = "so" } }, { completion_only_loss = false }), 1), "w[hyso<|end|>]")
    holds(marked(trainer_of{ { instruction = "Do", output = "Done" } }, 1), "### Response:\n[Done<|end|>]")
    local all = "u[ser: hi<|end|>\nassistant: yo<|end|>\n]"
    equal(marked(trainer_of{ { messages = chat } }, 1), all)
    local shared = { { from = "human", value = "hi" }, { from = "gpt", value = "yo" } }
    equal(marked(trainer_of{ { conversations = shared } }, 1), all)
    equal(marked(trainer_of({ { conversations = shared } }, { assistant_only_loss = true }), 1),
        "user: hi<|end|>\nassistant: [yo<|end|>]\n")
    equal(marked(trainer_of{ { prompt = { chat[1] }, completion = { chat[2] } } }, 1),
        "user: hi<|end|>\nassistant: [yo<|end|>\n]")
    equal(marked(trainer_of({ { story = "abc" } }, { dataset_text_field = "story" }), 1), "a[bc<|end|>]")
    equal(marked(trainer_of({ { turns = chat } }, { dataset_text_field = "turns" }), 1), all)
    equal(marked(trainer_of({ { n = 7 } }, nil, { formatting_func = function(row) return "n " .. row.n end }), 1),
        "n[ 7<|end|>]")
end

function test.tokenised()
    local ds = Dataset.from_list{ { q = "why", a = "so" } }:map(function(row)
        local ids = tokenizer(row.q .. row.a).input_ids
        local labels = {}
        for i, id in ipairs(ids) do labels[i] = i <= #row.q and -100 or id end
        return { input_ids = ids, labels = labels }
    end, { remove_columns = { "q", "a" } })
    equal(marked(trainer_of(nil, nil, { train_dataset = ds }), 1), "why[so]")
end

function test.options()
    equal(marked(trainer_of({ { text = "abcdef" } }, { max_length = 4 }), 1), "a[bcd]")
    equal(marked(trainer_of({ { text = "abcdef" } }, { max_length = 4, truncation_mode = "keep_end" }), 1), "d[ef<|end|>]")
    equal(marked(trainer_of({ { text = "abc" } }, { append_eos = false }), 1), "a[bc]")
    equal(marked(trainer_of({ { text = "abc" } }, { eos_token = "<|pad|>" }), 1), "a[bc<|pad|>]")
    tokenizer.eos_token = "<|end|>"
    local before = tokenizer.chat_template
    local file = assert(io.open(folder .. "/chat_template.jinja", "w"))
    file:write("{% for m in messages %}({{ m.content }}){% endfor %}")
    file:close()
    equal(marked(trainer_of({ { messages = chat } }, { chat_template_path = folder }), 1), "([hi)(yo)]")
    tokenizer.chat_template = before
    equal(marked(trainer_of({ { messages = chat } }, { chat_template_path = folder .. "/chat_template.jinja" }), 1), "([hi)(yo)]")
    tokenizer.chat_template = before
    fails("'<|nd|>' is no token", trainer_of, { { text = "a" } }, { eos_token = "<|nd|>" })
    fails("chat_template_path", trainer_of, { { text = "a" } }, { chat_template_path = folder .. "/none.jinja" })
    fails("keep_start", trainer_of, { { text = "a" } }, { truncation_mode = "keep_middle" })
end

function test.mistakes()
    fails("row 2: messages[1].content: the integer 5", trainer_of,
        { { messages = chat }, { messages = { { role = "user", content = 5 } } } })
    fails("is no role, wanted human, gpt", trainer_of, { { conversations = { { from = "gpd", value = "a" } } } })
    fails("assistant_only_loss wants rows of messages", trainer_of, { { text = "a" } }, { assistant_only_loss = true })
    fails("there are txt (str)", trainer_of, { { txt = "a" } })
    fails("did you mean 'story'", trainer_of, { { story = "a" } }, { dataset_text_field = "stroy" })
    fails("holds int", trainer_of, { { text = 5 } })
    fails("preference training", trainer_of, { { chosen = chat, rejected = chat } })
    local template = tokenizer.chat_template
    tokenizer.chat_template = nil
    fails("chat template", trainer_of, { { messages = chat } })
    tokenizer.chat_template = template
end

function test.looking()
    local trainer = trainer_of({ { text = "abc" }, { text = "" }, { text = "abc" }, { text = "a\nb" } },
        nil, { eval_dataset = Dataset.from_list{ { text = "xy" } } })
    local lint = trainer:lint()
    equal(lint:where("dataset = 'train' and finding = 'duplicates'")[1].rows, 1)
    equal(lint:where("dataset = 'train' and finding = 'duplicates'")[1].first, "3")
    equal(lint:where("dataset = 'train' and finding = 'empty'")[1].first, "2")
    equal(lint:where("dataset = 'eval' and finding = 'empty'")[1].rows, 0)
    local tokens = trainer:show_row(4, { tokens = true })
    equal(tokens.dtypes, { position = "int", id = "int", token = "str", learned = "bool" })
    equal(tokens[2].token, "\n")
    equal(tokens[-1].id, 0)
    equal(trainer:show_row(1, { eval = true, tokens = true })[1].token, "x")
    equal(marked(trainer, -1), "a[\nb<|end|>]")
    fails("row 2 has no token to learn", trainer.show_row, trainer, 2)
    fails("row 5 is out of range", trainer.show_row, trainer, 5)
    fails("did you mean 'tokens'", trainer.show_row, trainer, 1, { token = true })
    fails("there is no eval_dataset", function() trainer_of{ { text = "ab" } }:show_row(1, { eval = true }) end)
end

return cases.run(test, function() os.execute("rm -rf " .. folder) end)
