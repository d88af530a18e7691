#!/usr/bin/env python3
"""Checks that a folder lorash saved a tokenizer to is the same tokenizer for transformers.

lorash writes the folder and the ids of the 10,000 random strings of tokenizer_hashes.py; AutoTokenizer
opens the folder and must give the same ids, with and without special tokens, and the same special
tokens. Prints the number of differences; exit status 1 when there are some.
Needs transformers, and what tokenizer_hashes.py needs.
Usage: check_saved_tokenizer.py LORASH TOKENIZER ...   (paths as AutoTokenizer.from_pretrained takes)
"""
import os
import subprocess
import sys
import tempfile

from transformers import AutoTokenizer

from tokenizer_hashes import random_string

LUA = """
local path, folder, strings = arg[1], arg[2], arg[3]
local t = AutoTokenizer.from_pretrained(path)
t:save_pretrained(folder)
local file = io.open(strings, "rb")
for _, name in ipairs{"bos_token", "eos_token", "pad_token", "unk_token"} do
    print(t[name] or "")
end
while true do
    local head = file:read(4)
    if not head then break end
    local n = string.unpack("<I4", head)
    local text = n > 0 and file:read(n) or ""
    print(table.concat(t:encode(text), " "))
    print(table.concat(t:encode(text, {add_special_tokens = false}), " "))
end
"""


def check(lorash, path, strings, work):
    folder = os.path.join(work, "saved")
    script = os.path.join(work, "save.lua")
    data = os.path.join(work, "strings")
    with open(script, "w", encoding="utf-8") as file:
        file.write(LUA)
    with open(data, "wb") as file:
        for text in strings:
            file.write(len(text.encode()).to_bytes(4, "little") + text.encode())
    out = subprocess.run([lorash, script, path, folder, data], check=True, stdout=subprocess.PIPE)
    lines = out.stdout.decode().split("\n")
    tok = AutoTokenizer.from_pretrained(folder)
    wrong = 0
    for name, text in zip(("bos_token", "eos_token", "pad_token", "unk_token"), lines):
        if (getattr(tok, name) or "") != text:
            print("#", name, repr(getattr(tok, name)), "wanted", repr(text))
            wrong += 1
    for i, text in enumerate(strings):
        for special in (True, False):
            line = lines[4 + 2 * i + (not special)]
            if tok.encode(text, add_special_tokens=special) != [int(x) for x in line.split()]:
                wrong += 1
                if wrong < 4:
                    print("#", ascii(text), tok.encode(text, add_special_tokens=special), line)
    print(path, type(tok).__name__, wrong, "differences")
    return wrong


def main():
    strings = [random_string(i) for i in range(10000)]
    wrong = 0
    for path in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as work:
            wrong += check(sys.argv[1], path, strings, work)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
