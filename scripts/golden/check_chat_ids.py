#!/usr/bin/env python3
"""Compares ids and assistant masks of apply_chat_template with transformers' own.

Usage: check_chat_ids.py LORASH SHARED
Every tokenizer.json below SHARED/data/tokenizers that both open, TRL's templates for training on
the conversations without tools of tests/golden/chat_conversations.json. Prints a line for each
tokenizer; exit status 1 when anything differs.
"""
import glob
import json
import logging
import os
import subprocess
import sys
import tempfile

logging.disable(logging.WARNING)
from transformers import PreTrainedTokenizerFast  # noqa: E402

TEMPLATES = ["qwen3_training", "llama3_training", "qwen2_5_training", "gptoss_training"]
SPECIAL = {"bos_token": "B", "eos_token": "E"}


def lua(value):
    """A Lua literal; nothing here holds a null that matters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join("\\%03d" % b for b in value.encode()) + '"'
    if isinstance(value, list):
        return "{" + ", ".join(map(lua, value)) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join("[%s] = %s" % (lua(k), lua(v)) for k, v in value.items()
                               if v is not None) + "}"
    return repr(value)


PROGRAM = """
local t = AutoTokenizer.from_pretrained(%s)
local function list(ids) return "[" .. table.concat(ids, ",") .. "]" end
for _, template in ipairs(%s) do
    for _, messages in ipairs(%s) do
        local fine, e = pcall(t.apply_chat_template, t, messages, {chat_template = template,
            return_assistant_tokens_mask = true, bos_token = "B", eos_token = "E"})
        print(fine and "[" .. list(e.input_ids) .. "," .. list(e.assistant_masks) .. "]" or "null")
    end
end
"""


def ours(lorash, path, templates, conversations):
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as f:
        f.write(PROGRAM % (lua(path), lua(templates), lua(conversations)))
        f.flush()
        run = subprocess.run([lorash, f.name], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr.strip().split("\n")[0])
    return [json.loads(line) for line in run.stdout.splitlines()]


def theirs(tokenizer, templates, conversations):
    out = []
    for template in templates:
        for messages in conversations:
            try:
                e = tokenizer.apply_chat_template(
                    messages, chat_template=template, return_dict=True,
                    return_assistant_tokens_mask=True, **SPECIAL)
                out.append([e["input_ids"], e["assistant_masks"]])
            except Exception:
                out.append(None)
    return out


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    lorash, shared = sys.argv[1:]
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../../tests/golden/chat_conversations.json"), "rb") as f:
        conversations = [c["messages"] for c in json.load(f)
                         if "tools" not in c and c["name"] not in ("arguments as text", "empty")]
    templates = []
    for name in TEMPLATES:
        with open(os.path.join(shared, "data/chat_templates/trl", name + ".jinja")) as f:
            templates.append(f.read())
    root = os.path.join(shared, "data/tokenizers")
    bad = 0
    for path in sorted(glob.glob(root + "/**/tokenizer.json", recursive=True)):
        name = os.path.relpath(os.path.dirname(path), root)
        try:
            reference = theirs(PreTrainedTokenizerFast(tokenizer_file=path), templates,
                               conversations)
        except Exception as e:
            print("%-24s not opened by the reference: %s" % (name, str(e)[:60]))
            continue
        got = ours(lorash, path, templates, conversations)
        differ = sum(a != b for a, b in zip(got, reference)) + abs(len(got) - len(reference))
        print("%-24s %d pairs, %d without a failure, %d differ"
              % (name, len(got), sum(r is not None for r in reference), differ))
        bad += differ
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
