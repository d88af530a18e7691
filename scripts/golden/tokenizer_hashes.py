#!/usr/bin/env python3
"""Writes tests/golden/tokenizer_hashes.txt: hashes of what the reference libraries make of texts,
one line for each tokenizer and block. Of every tokenizer "name":
  name 0 ... 99          token ids of 10,000 random strings, a hundred a block
  name/scalars 0 ... 16  ids of every assigned Unicode scalar between letters, blanks and digits, by
                         plane
  name/special 0         ids of texts around special tokens and their like
  name/decode 0 ... 19   texts of 2,000 random lists of ids; odd blocks skip special tokens

The strings are those of tests/engine/strings_util.c: change both together. Names that end in .model
are SentencePiece files, encoded by that library, whose decoding differs on purpose (none is kept).
Needs the packages tokenizers 0.23.3, sentencepiece, gguf and unicodedata2 16.0.0.
Usage: tokenizer_hashes.py SHARED_DATA_FOLDER DEMO_MODEL.gguf [NAME ...] >> tokenizer_hashes.txt
       tokenizer_hashes.py SHARED_DATA_FOLDER DEMO_MODEL.gguf NAME INDEX   prints one string, its ids
"""
import json
import sys

import sentencepiece
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
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>", "<mask>", "<|user|>", "<|end|>",
           "<|assistant|>", "<|placeholder1|>", "[gMASK]", "<!sop!>", "<!dummy-prefix!>",
           "<start_of_turn>", "<end_of_turn>", "<unused5>", "<image_soft_token>", "[INST]",
           ">>TITLE<<", "<tool_call>", "<|endoftext|>", "<|im_start|>", "<think>", "<|eot_id|>",
           "\u2581", "\u2581\u2581", "\n\n\n", "<0x0A>", "<0xE2>", "<h1>", "       "]
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


def from_file(path):
    return lambda shared: Tokenizer.from_file("%s/data/tokenizers/%s" % (shared, path))


def llama2(shared, decoding=False):
    """Three of its merges are of tokens that are blanks, which the library cannot tell from the
    blank between two tokens unless merges are pairs."""
    with open(shared + "/data/tokenizers/llama2/tokenizer.json", encoding="utf-8") as file:
        data = json.load(file)
    for token in data["added_tokens"]:  # else it decodes them as "_<unk>" and never skips them
        token["normalized"] = not decoding
    merges, vocab = data["model"]["merges"], data["model"]["vocab"]
    for i, merge in enumerate(merges):
        merges[i] = next([merge[:at], merge[at + 1:]] for at in range(1, len(merge) - 1)
                         if merge[at] == " " and merge[:at] in vocab and merge[at + 1:] in vocab)
    return Tokenizer.from_str(json.dumps(data))


class Pieces:
    """A SentencePiece file behind the few methods that are used here."""

    def __init__(self, path):
        self.model = sentencepiece.SentencePieceProcessor(model_file=path)

    def encode(self, text, add_special_tokens=False):
        return type("E", (), {"ids": self.model.encode(text), "tokens": []})

    def encode_batch(self, texts, add_special_tokens=False):
        return [self.encode(text) for text in texts]


def pieces(path):
    return lambda shared: Pieces("%s/data/tokenizers/%s" % (shared, path))


def fnv(hash_, value):
    for byte in value.to_bytes(4, "little"):
        hash_ = ((hash_ ^ byte) * 0x100000001B3) & MASK
    return hash_


START = 0xCBF29CE484222325


def hash_ids(tok, texts):
    hash_ = START
    for encoding in tok.encode_batch(texts, add_special_tokens=False):
        for id_ in encoding.ids:
            hash_ = fnv(hash_, id_)
        hash_ = fnv(hash_, 0xFFFFFFFF)
    return hash_


def scalar_string(cp):
    c = chr(cp)
    return "a" + c + "b " + c + " " + c + c + "1" + c + "\n"


def scalars(name, tok):
    """Unassigned code points, surrogates and private ones are left out."""
    for plane in range(17):
        texts = [scalar_string(cp) for cp in range(plane << 16, (plane + 1) << 16)
                 if ud.category(chr(cp)) not in ("Cn", "Cs", "Co")]
        print(name + "/scalars", plane, "%016x" % hash_ids(tok, texts))


def special_strings():
    for mark in SPECIAL:
        yield from (mark, " " + mark, mark + " ", "a" + mark + "b", "a  " + mark + " \n b",
                    mark + mark, mark + " " + mark, "x" + mark[:-1], mark[1:] + mark,
                    "I am" + mark + "Hello, world  " + mark + "\t" + mark + "!")


def decoded(name, tok):
    size = max(tok.get_vocab().values()) + 1  # ids without a token are left out by decode
    for block in range(20):
        hash_ = START
        for i in range(100):
            m = Maker(1000000 + block * 100 + i)
            ids = [m.below(size) for _ in range(1 + m.below(12))]
            for byte in tok.decode(ids, skip_special_tokens=block % 2 == 1).encode():
                hash_ = ((hash_ ^ byte) * 0x100000001B3) & MASK
            hash_ = fnv(hash_, 0xFFFFFFFF)
        print(name + "/decode", block, "%016x" % hash_)


MAKERS = {
    "gpt2": gpt2, "phi-2": from_file("phi-2/tokenizer.json"),
    "llama3.1": from_file("llama3.1/tokenizer.json"), "qwen3": from_file("qwen3/tokenizer.json"),
    "smollm2": lambda _: smollm2(sys.argv[2]), "llama2": llama2,
    "mistral-7b-v0.1": from_file("mistral-7b-v0.1/tokenizer.json"),
    "phi-3-mini": from_file("phi-3-mini/tokenizer.json"),
    "gemma-3": from_file("gemma-3/tokenizer.json"), "chatglm": from_file("chatglm/tokenizer.json"),
    "falcon": from_file("falcon/tokenizer.json"),
    "roberta-base": from_file("roberta-base/tokenizer.json"),
    "torchtune": from_file("torchtune/tokenizer.json"),
    "torchtune-bpe": from_file("torchtune/tiny_bpe_tokenizer.json"),
    "torchtune-gemma": from_file("torchtune/tokenizer_gemma_cropped.json"),
    "llama2.model": pieces("llama2/tokenizer.model"),
    "mistral-v1.model": pieces("mistral-common/tokenizer.model.v1"),
    "mistral-v3.model": pieces("mistral-common/mistral_instruct_tokenizer_240323.model.v3"),
    "mistral-v7.model": pieces("mistral-common/mistral_instruct_tokenizer_241114.model.v7"),
    "torchtune-m.model": pieces("torchtune/m.model"),
    "t5.model": pieces("torchtune/sentencepiece.model"),
    "chatglm-6b.model": pieces("chatglm-6b/ice_text.model"),
}


def main():
    shared, names = sys.argv[1], sys.argv[3:] or MAKERS
    if len(sys.argv) == 5 and sys.argv[4].isdigit():
        text = random_string(int(sys.argv[4]))
        encoding = MAKERS[sys.argv[3]](shared).encode(text, add_special_tokens=False)
        print(ascii(text), encoding.ids, encoding.tokens)
        return
    strings = [random_string(i) for i in range(STRINGS)]
    for name in names:
        tok = MAKERS[name](shared)
        for block in range(STRINGS // BLOCK):
            print(name, block,
                  "%016x" % hash_ids(tok, strings[block * BLOCK:(block + 1) * BLOCK]))
        scalars(name, tok)
        print(name + "/special", 0, "%016x" % hash_ids(tok, list(special_strings())))
        if not name.endswith(".model"):
            decoded(name, llama2(shared, decoding=True) if name == "llama2" else tok)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
