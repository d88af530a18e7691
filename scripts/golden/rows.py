"""Writes tests/golden/rows.txt: what TRL's SFTTrainer makes of rows in every shape.

One line a case: tokenizer, template, name, rows, tokens, learned tokens, Adler-32 over all rows of
the ids (little-endian 32 bits) and the mask (one byte each). The trainer is TRL's own, over a model of
random weights that is never run. tests/engine/row_golden.c makes the same rows from the same files.

Usage: rows.py SHARED_DATA_FOLDER > tests/golden/rows.txt
"""
import json
import struct
import sys
import tempfile
import zlib
from pathlib import Path

from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

SHARED = Path(sys.argv[1]) / "data"
ROWS = 60
FAMILIES = [("qwen3", "qwen3_training", "<|im_end|>"), ("llama3.1", "llama3_training", "<|eot_id|>")]


def load(name):
    path = SHARED / name
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(x) for x in text.splitlines()]


def turns(user, assistant):
    return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]


def cases():
    alpaca = [r for r in load("llamafactory/alpaca_en_demo.json")][:ROWS]
    counsel = load("mental_health_counseling/combined_dataset.reconstructed.jsonl")[:ROWS]
    chats = [r["conversations"] for r in load("llamafactory/glaive_toolcall_en_demo.json")]
    chats = [c for c in chats if all(m["from"] in ("human", "gpt") for m in c)][:ROWS]
    yield "text", [{"text": r["output"]} for r in alpaca], {}
    yield "pair", [{"prompt": r["Context"], "completion": r["Response"]} for r in counsel], {}
    yield "pair_all", [{"prompt": r["Context"], "completion": r["Response"]} for r in counsel], \
        {"completion_only_loss": False}
    yield "messages", [{"messages": turns(r["instruction"], r["output"])} for r in alpaca], {}
    role = {"human": "user", "gpt": "assistant"}  # as TRL maps them, when told so by a column "messages"
    yield "assistant", [{"messages": [{"role": role[m["from"]], "content": m["value"]} for m in c]}
                        for c in chats], {"assistant_only_loss": True}
    yield "cut", [{"prompt": r["Context"], "completion": r["Response"]} for r in counsel], \
        {"max_length": 100, "truncation_mode": "keep_end"}
    yield "chat_pair", [{"prompt": turns(r["instruction"], "")[:1],
                         "completion": turns("", r["output"])[1:]} for r in alpaca], {}


def main():
    for folder, template, eos in FAMILIES:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(SHARED / "tokenizers" / folder / "tokenizer.json"))
        tokenizer.eos_token = eos
        tokenizer.pad_token = eos
        tokenizer.chat_template = (SHARED / "chat_templates/trl" / (template + ".jinja")).read_text()
        if folder == "llama3.1":
            tokenizer.bos_token = "<|begin_of_text|>"
        model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1,
                                             num_attention_heads=1, intermediate_size=8))
        for name, rows, options in cases():
            with tempfile.TemporaryDirectory() as out:
                args = SFTConfig(**{"output_dir": out, "max_length": None, "report_to": [], "use_cpu": True,
                                    "bf16": False, **options})
                trainer = SFTTrainer(model=model, args=args, train_dataset=Dataset.from_list(rows),
                                     processing_class=tokenizer)
            data, tokens, learned = b"", 0, 0
            for row in trainer.train_dataset:
                ids = row["input_ids"]
                mask = [int(label != -100) for label in row["labels"]]
                data += struct.pack("<%di" % len(ids), *ids) + bytes(mask)
                tokens += len(ids)
                learned += sum(mask)
            print(folder, template, name, len(rows), tokens, learned, zlib.adler32(data), sep="\t", flush=True)


main()
