-- tiny.lua -- a tokenizer for the 97 ids of the fixture models: printable ASCII, byte by byte.
local tiny = {}

function tiny.tokenizer(folder)
    local entries = { '"<|end|>":0', '"<|pad|>":1' }
    for code = 33, 126 do
        local c = string.char(code)
        if c == '"' or c == "\\" then c = "\\" .. c end
        entries[#entries + 1] = ('"%s":%d'):format(c, code - 31)
    end
    entries[#entries + 1] = '"\u{120}":96'
    local file = assert(io.open(folder .. "/tokenizer.json", "w"))
    file:write('{"added_tokens":[{"id":0,"content":"<|end|>","single_word":false,"lstrip":false,"rstrip":false,'
        .. '"normalized":false,"special":true}],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel",'
        .. '"add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":null,"decoder":'
        .. '{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},"model":{"type":"BPE",'
        .. '"vocab":{' .. table.concat(entries, ",") .. '},"merges":[]}}')
    file:close()
    local tokenizer = AutoTokenizer.from_pretrained(folder .. "/tokenizer.json")
    tokenizer.eos_token = "<|end|>"
    return tokenizer
end

return tiny
