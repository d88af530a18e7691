#!/usr/bin/env python3
"""Writes small SentencePiece models into tests/golden/ (tiny_*.model) and what the library makes of
a few texts (tiny_sentencepiece.jsonl: {"model", "cases": [[text, ids], ...]}).

Each has options the published models of the tests lack: a character map of its own, blanks behind
words, user-defined and unused pieces, byte fallback. Needs sentencepiece 0.2.3; training is
repeatable on one thread.
Usage: tiny_sentencepiece.py OUT_FOLDER SHAKESPEARE.txt
"""
import json
import os
import sys
import tempfile

import sentencepiece

RULES = "41\t61\nFB01\t66 69\n2460\t31\n3000\t20\n61 301\tE1\n2026\t2E 2E 2E\nAD\t\n"
TEXTS = ["Hello, world! the king", "  leading  and   trailing  ", "", " ", "And \ufb01ne \u2460 AAA",
         "a\u0301 \u2026 \u3000x\u00ady", "caf\u00e9 \u65e5\u672c \U0001f600", "the<sep>king  <sep> <sep>",
         "\u2581under\u2581", "what what what", "\t tab \n line", "thou art noble. [X] ab[X]", "zzzz QQ 99"]
COMMON = {"vocab_size": 150, "num_threads": 1, "max_sentence_length": 2000, "hard_vocab_limit": False,
          "input_sentence_size": 400, "shuffle_input_sentence": False, "minloglevel": 2}
MODELS = {
    "bpe": {"model_type": "bpe", "byte_fallback": True, "vocab_size": 420,
            "user_defined_symbols": ["<sep>", "[X]"], "remove_extra_whitespaces": False},
    "bpe_suffix": {"model_type": "bpe", "treat_whitespace_as_suffix": True,
                   "control_symbols": ["<sep>"]},
    "unigram": {"model_type": "unigram", "user_defined_symbols": ["<sep>", "  "]},
    "unigram_bare": {"model_type": "unigram", "byte_fallback": True, "vocab_size": 400,
                     "add_dummy_prefix": False, "remove_extra_whitespaces": False,
                     "normalization_rule_name": "identity"},
}


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def mark_unused(model, names):
    """Sets the type of some pieces to unused (5): a piece is field 1, its type field 3 of it."""
    out, at = bytearray(), 0

    def read():
        nonlocal at
        n = shift = 0
        while True:
            byte = model[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n

    while at < len(model):
        key, size = read(), read()
        body = model[at:at + size]
        at += size
        if key == 10 and body[2:2 + body[1]].decode() in names:
            body += b"\x18\x05"
        out += varint(key) + varint(len(body)) + body
    return bytes(out)


def main():
    folder, corpus = sys.argv[1:]
    with tempfile.TemporaryDirectory() as work, open(
            os.path.join(folder, "tiny_sentencepiece.jsonl"), "w", encoding="utf-8") as golden:
        rules = os.path.join(work, "rules.tsv")
        with open(rules, "w", encoding="utf-8") as file:
            file.write(RULES)
        for name, options in MODELS.items():
            prefix = os.path.join(work, name)
            settings = {**COMMON, **options}
            if "normalization_rule_name" not in settings:
                settings["normalization_rule_tsv"] = rules
            sentencepiece.SentencePieceTrainer.train(input=corpus, model_prefix=prefix, **settings)
            with open(prefix + ".model", "rb") as file:
                model = file.read()
            if name == "bpe":
                model = mark_unused(model, ["\u2581the", "\u2581th", "ou"])
            with open(os.path.join(folder, "tiny_%s.model" % name), "wb") as file:
                file.write(model)
            tok = sentencepiece.SentencePieceProcessor(model_proto=model)
            json.dump({"model": name, "cases": [[t, tok.encode(t)] for t in TEXTS]}, golden,
                      ensure_ascii=False)
            golden.write("\n")


main()
