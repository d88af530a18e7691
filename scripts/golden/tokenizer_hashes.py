#!/usr/bin/env python3
"""Writes tests/golden/tokenizer_hashes.txt: hashes of the reference library's token ids for
10,000 random strings, one for each tokenizer and block of 100 strings; and for every Unicode
scalar between letters, blanks and digits, one for each tokenizer and plane ("gpt2/scalars 0 ...").

The strings are those of tests/engine/strings_util.c: change both together.
Needs the packages tokenizers 0.23.3, gguf and unicodedata2 16.0.0.
Usage: tokenizer_hashes.py SHARED_DATA_FOLDER DEMO_MODEL.gguf > tests/golden/tokenizer_hashes.txt
       tokenizer_hashes.py SHARED_DATA_FOLDER DEMO_MODEL.gguf NAME INDEX   prints one string, its ids
"""
import sys

import unicodedata2 as ud
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

STRINGS, BLOCK = 10000, 100
MASK = (1 << 64) - 1

WORDS = ["the", "Hello", "world", "I'm", "don't", "patient", "fever",
         "WE'LL", "naïve", "Straße", "été", "x", "of", "Q"]
MARKS = [".", ",", "!?", "...", "--", "#", "$", "%", "()", "[x]",
         "{}", '"', "'", "''", "/", "\\", "_", "=", "+", "~"]
ENDINGS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S",
           "'T", "'RE", "'Ve", "'M", "'LL", "'D", "'ſ", "'x"]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "☺", "🧑🏿‍🚀"]
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "  ",
         "          ", "\t\t", "\t\t\t\t\t", "<|end",
         "<file_sep>", "<think>", "</think>", "<|eot_id|>",
         "<|begin_of_text|>", "|>", "<repo_name>", "<|"]
LINES = ["\r\n", "\n", "\n\n", "\r", " \n", "\n ", "\r\n\r\n", "\t\n"]
SPACES = [9, 10, 11, 12, 13, 0x20, 0x85,
          0xA0, 0x1680, 0x2000, 0x2003, 0x2009, 0x200A, 0x2028,
          0x2029, 0x202F, 0x205F, 0x3000, 0x180E, 0x200B]
SCRIPTS = [(0x370, 0x90), (0x400, 0x100), (0x531, 0x58), (0x5D0, 0x1B), (0x620, 0x90),
           (0x900, 0x80), (0x980, 0x80), (0xB80, 0x80), (0xE00, 0x60), (0x10A0, 0x60),
           (0x1100, 0x100), (0x1200, 0x80), (0x1E00, 0x100), (0x3041, 0x56), (0x30A0, 0x60),
           (0xAC00, 0x2BA4), (0x10330, 0x20), (0x1D400, 0x400), (0xFF00, 0xF0), (0x2070, 0x120),
           (0x2460, 0xA0), (0x660, 0x10), (0x966, 0x10), (0x13A0, 0x60)]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Maker:
    def __init__(self, index):
        self.state = (index * 0xD1342543DE82EF95 + 20260302) & MASK
        self.out = []

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        return z ^ z >> 31

    def below(self, n):
        return (self.next() >> 33) % n

    def pick(self, items):
        return items[self.below(len(items))]

    def put_from(self, start, count):
        c = chr(start + self.below(count))
        if ud.category(c) not in ("Cn", "Cs", "Co"):
            self.out.append(c)

    def ascii(self, alphabet, longest):
        for _ in range(1 + self.below(longest)):
            self.out.append(self.pick(alphabet))

    def part(self, kind):
        out = self.out
        if kind == 0:
            out.append(self.pick(WORDS))
        elif kind == 1:
            out.append(" " + self.pick(WORDS))
        elif kind == 2:
            self.ascii(LETTERS, 9)
        elif kind == 3:
            self.ascii("0123456789", 8)
        elif kind == 4:
            for _ in range(1 + self.below(5)):
                out.append(chr(self.pick(SPACES)))
        elif kind == 5:
            out.append(self.pick(MARKS))
        elif kind == 6:
            for _ in range(1 + self.below(4)):
                self.put_from(0, 0x110000)
        elif kind == 7:
            start, count = self.pick(SCRIPTS)
            for _ in range(1 + self.below(6)):
                self.put_from(start, count)
        elif kind == 8:
            self.ascii("aeiouAEIOUnc", 1)
            for _ in range(1 + self.below(3)):
                self.put_from(0x300, 0x70)
        elif kind == 9:
            out.append(self.pick(EMOJI))
        elif kind == 10:
            for _ in range(1 + self.below(5)):
                self.put_from(0x4E00, 0x5200)
        elif kind == 11:
            n = self.below(66)
            out.append(chr(n if n < 32 else 0x7F + n - 32))
        elif kind == 12:
            out.append(self.pick(LINES))
        elif kind == 13:
            out.append(self.pick(ADDED))
        elif kind == 14:
            out.append(self.pick(ENDINGS))
        else:
            self.put_from(0xA0, 0x2F60)


def random_string(index):
    m = Maker(index)
    for _ in range(1 + m.below(16)):
        m.part(m.below(16))
    return "".join(m.out)


def gpt2(shared):
    folder = shared + "/data/tokenizers/gpt2/"
    tok = Tokenizer(models.BPE.from_file(folder + "vocab.json", folder + "merges.txt"))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    return tok


def smollm2(path):
    from gguf import GGUFReader
    fields = GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False)
                            for t, kind in zip(tokens, types) if kind == 3])
    return tok


def from_file(name):
    return lambda shared: Tokenizer.from_file("%s/data/tokenizers/%s/tokenizer.json"
                                              % (shared, name))


def fnv(hash_, value):
    for byte in value.to_bytes(4, "little"):
        hash_ = ((hash_ ^ byte) * 0x100000001B3) & MASK
    return hash_


def scalar_string(cp):
    c = chr(cp)
    return "a" + c + "b " + c + " " + c + c + "1" + c + "\n"


def scalars(name, tok):
    """Unassigned code points, surrogates and private ones are left out."""
    for plane in range(17):
        hash_ = 0xCBF29CE484222325
        for cp in range(plane << 16, (plane + 1) << 16):
            if ud.category(chr(cp)) in ("Cn", "Cs", "Co"):
                continue
            for id_ in tok.encode(scalar_string(cp), add_special_tokens=False).ids:
                hash_ = fnv(hash_, id_)
            hash_ = fnv(hash_, 0xFFFFFFFF)
        print(name + "/scalars", plane, "%016x" % hash_)


def main():
    shared, model = sys.argv[1:3]
    makers = {"gpt2": gpt2, "phi-2": from_file("phi-2"), "llama3.1": from_file("llama3.1"),
              "qwen3": from_file("qwen3"), "smollm2": lambda _: smollm2(model)}
    if len(sys.argv) > 4:
        text = random_string(int(sys.argv[4]))
        encoding = makers[sys.argv[3]](shared).encode(text, add_special_tokens=False)
        print(ascii(text), encoding.ids, encoding.tokens)
        return
    strings = [random_string(i) for i in range(STRINGS)]
    for name, make in makers.items():
        tok = make(shared)
        hash_ = 0xCBF29CE484222325
        for i, text in enumerate(strings):
            for id_ in tok.encode(text, add_special_tokens=False).ids:
                hash_ = fnv(hash_, id_)
            hash_ = fnv(hash_, 0xFFFFFFFF)
            if (i + 1) % BLOCK == 0:
                print(name, i // BLOCK, "%016x" % hash_)
                hash_ = 0xCBF29CE484222325
        scalars(name, tok)


main()
