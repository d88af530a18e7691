"""The other side of encode: Hugging Face tokenizers; and the text that both read.

    encode_peer.py text SHARED_DATA OUT    writes 20 MB of text
    encode_peer.py encode TOKENIZER TEXT   TOKENIZER: a folder of the shared data or the demo GGUF
"""
import sys
import time
from pathlib import Path

from peer import report, tokenizer

SOURCES = ["tiny_shakespeare/tiny_shakespeare.txt", "counsel_chat/20200325_counsel_chat.csv",
           "llamafactory/alpaca_en_demo.json", "llamafactory/alpaca_zh_demo.json",
           "llamafactory/c4_demo.jsonl", "counsel_chat_marathi/marathi_dataset.csv",
           "docker_nl_commands/NLDockercommands.json"]
BYTES = 20_000_000


def write_text(shared, out):
    parts = [(Path(shared) / name).read_bytes() for name in SOURCES]
    cut = b""
    while len(cut) < BYTES:
        for part in parts:
            cut += part
    text = cut[:BYTES].decode("utf-8", "ignore")
    Path(out).write_text(text, encoding="utf-8", newline="")
    print(f"text: {len(text.encode())} bytes of {len(parts)} files")


def load(path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    folder = Path(path)
    if folder.suffix == ".gguf":
        return tokenizer(path)[0]
    if (folder / "tokenizer.json").exists():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    tok = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.add_special_tokens(["<|endoftext|>"])
    return tok


def encode(path, text):
    text = Path(text).read_bytes().decode()
    tok = load(path)
    start = time.process_time()
    ids = tok.encode_batch_fast([text], add_special_tokens=False)[0].ids  # without offsets
    seconds = time.process_time() - start
    sums = []
    for part in range(16):
        total = 0
        for i in ids[len(ids) * part // 16:len(ids) * (part + 1) // 16]:
            total = (total * 31 + i + 1) % 2147483647
        sums.append(str(total + 1))
    report(tokens=len(ids), seconds=seconds, losses=",".join(sums))


if sys.argv[1] == "text":
    write_text(*sys.argv[2:])
else:
    encode(*sys.argv[2:])
