-- chat_test.lua -- tokenizer:apply_chat_template and generate on a conversation.
local tap = dofile("tests/lua/tap.lua")
local eq, ok, raises = tap.eq, tap.ok, tap.raises

-- A small tokenizer: every printable byte is a token, and four special ones.
local path = os.tmpname()
local vocab = {}
for byte = 33, 126 do
    vocab[#vocab + 1] = ('"%s": %d'):format(string.char(byte):gsub('["\\]', "\\%0"), byte)
end
for i, spelt in ipairs { "Ġ", "Ċ" } do vocab[#vocab + 1] = ('"%s": %d'):format(spelt, 126 + i) end
for byte = 0, 32 do vocab[#vocab + 1] = ('"x%d": %d'):format(byte, byte) end
local file = assert(io.open(path, "w"))
file:write(([[{"added_tokens": [{"id": 129, "content": "<s>", "special": true},
{"id": 130, "content": "</s>", "special": true}, {"id": 131, "content": "[user]", "special": true},
{"id": 132, "content": "[assistant]", "special": true}], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel"},
"post_processor": null, "decoder": {"type": "ByteLevel"},
"model": {"type": "BPE", "vocab": {%s}, "merges": []}}]]):format(table.concat(vocab, ", ")))
file:close()
os.rename(path, path .. ".json")
local t = AutoTokenizer.from_pretrained(path .. ".json", { bos_token = "<s>", eos_token = "</s>" })
local bos, eos, user, assistant = 129, 130, 131, 132
local messages = { { role = "user", content = "a" }, { role = "assistant", content = "bc" } }

raises(function() t:apply_chat_template(messages) end, "no chat template; hint: set one with tokenizer.chat_template")
t.chat_template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    .. "{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"

-- text and ids
local text = "<s>[user]a</s>\n[assistant]bc</s>\n"
eq(t:apply_chat_template(messages, { tokenize = false }), text)
eq(t:apply_chat_template(messages, { tokenize = false, add_generation_prompt = true }), text .. "[assistant]")
local ids = { bos, user, 97, eos, 128, assistant, 98, 99, eos, 128 }
eq(t:apply_chat_template(messages).input_ids, ids)
eq(t:apply_chat_template(messages).attention_mask, { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 })
eq(t:apply_chat_template(messages, { return_dict = false }), ids)
eq(t:apply_chat_template({}, { tokenize = false }), "<s>")
eq(messages[1].content, "a", "messages stay as they were")

-- what the assistant says, with the token that ends its turn
local masked = t:apply_chat_template(messages, { return_assistant_tokens_mask = true })
eq(masked.assistant_masks, { 0, 0, 0, 0, 0, 0, 1, 1, 1, 0 })
raises(function() t:apply_chat_template(messages, { return_assistant_tokens_mask = true, tokenize = false }) end,
    "return_assistant_tokens_mask wants return_dict = true and tokenize = true")

-- several conversations
t.pad_token = "</s>"
local batch = { messages, { { role = "user", content = "z" } } }
eq(t:apply_chat_template(batch, { tokenize = false }), { text, "<s>[user]z</s>\n" })
local both = t:apply_chat_template(batch, { padding = true, return_assistant_tokens_mask = true })
eq(both.input_ids[2], { bos, user, 122, eos, 128, eos, eos, eos, eos, eos })
eq(both.attention_mask[2], { 1, 1, 1, 1, 1, 0, 0, 0, 0, 0 })
eq(both.assistant_masks[2], { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 })
eq(t:apply_chat_template(messages, { truncation = true, max_length = 3, return_dict = false }), { bos, user, 97 })
raises(function() t:apply_chat_template(messages, { truncation = true }) end, "give max_length")

-- going on with the last message
eq(t:apply_chat_template(messages, { tokenize = false, continue_final_message = true }),
    "<s>[user]a</s>\n[assistant]bc")
raises(function()
    t:apply_chat_template(messages, { continue_final_message = true, add_generation_prompt = true })
end, "exclude one another")

-- variables, tools, documents, another template
eq(t:apply_chat_template(messages, { tokenize = false, chat_template = "{{ x }} {{ y.z[1] }} {{ n is none }}",
    x = 3, y = { z = { 1, 2.5 } } }), "3 2.5 False")
eq(t:apply_chat_template(messages, { tokenize = false, chat_template = "{{ tools | tojson }}{{ documents[0].title }}",
    tools = { { type = "function", ["function"] = { name = "f", parameters = { a = true } } } },
    documents = { { title = "T" } } }),
    '[{"type": "function", "function": {"name": "f", "parameters": {"a": true}}}]T')
raises(function() t:apply_chat_template(messages, { add_generation_promt = true }) end,
    "no option 'add_generation_promt'; did you mean 'add_generation_prompt'?")

-- what goes wrong
raises(function() t:apply_chat_template("hello") end, "expected a list of messages, found the text 'hello'")
raises(function() t:apply_chat_template { "hello" } end, "messages[1]: expected a table with role and content")
raises(function() t:apply_chat_template { { role = print } } end, "function")
raises(function() t:apply_chat_template(messages, { chat_template = "a\n {{ messages | lenght }}" }) end,
    "chat template: line 2, column 16: there is no filter 'lenght'; did you mean 'length'?")
raises(function() t:apply_chat_template(messages, { chat_template = "{% if x %}" }) end,
    "the template ends inside this tag; wanted {% endif %}")
raises(function() t:apply_chat_template(messages, { chat_template = "{{ raise_exception('Only one turn!') }}" }) end,
    "Only one turn!")
raises(function() t:apply_chat_template(messages, { chat_template = "{% for x in y %}{% for z in x %}{% endfor %}{% endfor %}"
    .. "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}" }) end, "too many steps")
raises(function()
    t:apply_chat_template(messages, { return_assistant_tokens_mask = true,
        chat_template = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}" })
end, "writes message 2 in another way once the conversation goes on")

-- a model answers a conversation as it continues the ids that the template gives
local demo = os.getenv("LORASH_DEMO_MODEL")
if demo then
    local model, tokenizer = AutoModelForCausalLM.from_pretrained(demo), AutoTokenizer.from_pretrained(demo)
    local question = { { role = "user", content = "What is the capital of France?" } }
    local options = { max_new_tokens = 8, do_sample = false }
    local answer = model:generate(tokenizer, question, options)
    local encoding = tokenizer:apply_chat_template(question, { add_generation_prompt = true })
    eq(answer.ids, model:generate(encoding, options).ids, "messages as their ids")
    eq(answer.ids, model:generate(encoding.input_ids, options).ids)
    ok(answer.text:find("Paris", 1, true), "it knows Paris: " .. answer.text)
    local begun = { question[1], { role = "assistant", content = "The capital is" } }
    local more = model:generate(tokenizer, { question, begun }, options)
    eq(more[1].ids, answer.ids, "a list of conversations")
    ok(more[2].text:sub(1, 1) == " ", "goes on with the assistant's words: " .. more[2].text)
else
    tap.skip("an answer of the demo model", "LORASH_DEMO_MODEL is not set")
end

os.remove(path .. ".json")
tap.done()
