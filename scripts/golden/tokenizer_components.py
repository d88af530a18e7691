#!/usr/bin/env python3
"""Writes tests/golden/tokenizer_components.jsonl: small tokenizers, each with one component of
tokenizer.json that the tests with published files do not reach, and what the reference library
makes of a few texts. A line is {"name", "tokenizer", "cases": [[text, ids, decoded], ...],
"pairs": [[a, b, ids], ...]}; ids of cases are without special tokens, those of pairs with them.

Needs the package tokenizers 0.23.3.
Usage: tokenizer_components.py > tests/golden/tokenizer_components.jsonl
"""
import base64
import json
from pathlib import Path

from tokenizers import Tokenizer

TEXTS = ["Hello, world! 123", "  leading  and trailing  ", "don't stop--believing...", "",
         " ", "\u00e9t\u00e9 na\u00efve Stra\u00dfe \u0391\u0392\u0393", "\u65e5\u672c\u8a9e test",
         "a<s>b <mask> c<mask>", "x\r\n\ty \u00a0z", "ABBA abba \u0130\u0132", "\u2581under\u2581 \u2581",
         "\U0001f469\u200d\U0001f469\u200d\U0001f467 ok", "\u00bd\u00b2\u00b3 \u0661\u0662 4 56",
         "\u01c4 \ufb01 \u2460 \uff21", "\u0301a e\u0301 \u1e9b\u0323", "the <Tok> word<tok>s ab-cd ab",
         "A\ufb01 AAA \u2460A\u0301 \u2026\u0301 a\u0301\u3000x\u00ady", "hello hello hell", "\u200b\ufeff\u0007q"]
PAIRS = [["hello", "world"], ["", "a b"], ["ab <s>", "cd"]]

MERGES = ["h e", "l l", "he ll", "hell o", "a b", "b a", "ab ba", "i n", "in g", "t h", "th e",
          "\u2581 the", "\u2581 hell", "\u2581 hello", "\u2581 \u2581", "o r", "w or", "\u0120 w",
          "\u0120 wor", "1 2", "5 6"]


def vocabulary(extra=(), letters="abcdefghilnoprstuvwABHST12356,.!-'\u2581\u0120\u00e9"):
    tokens = ["<unk>", "<s>", "</s>", *letters]
    merges = [m for m in MERGES if all(p in letters or p in {x.replace(" ", "") for x in MERGES}
                                       for p in m.split(" "))]
    tokens += [m.replace(" ", "") for m in merges] + list(extra)
    return {t: i for i, t in enumerate(dict.fromkeys(tokens))}, merges


def bpe(extra=(), **options):
    vocab, merges = vocabulary(extra)
    return {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
            "merges": merges, **options}


def added(id_, content, **options):
    return {"id": id_, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": False, **options}


def tokenizer(model, normalizer=None, pre=None, decoder=None, post=None, tokens=()):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": list(tokens),
            "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": post,
            "decoder": decoder, "model": model}


def sequence(kind, *parts):
    return {"type": "Sequence", kind: list(parts)}


def part(type_, **fields):
    return {"type": type_, **fields}


BYTES = ["<0x%02X>" % b for b in range(256)]
SOME_BYTES = ["<0x%02X>" % b for b in (9, 10, 13, 0xC3, 0xA9, 0xAF, 0xE6, 0x97, 0xA5, 0xF0, 0x9F)]
FUSE = part("Fuse")
FLAGS = {"add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def replace(pattern, content, kind="String"):
    return part("Replace", pattern={kind: pattern}, content=content)


def charsmap():
    """The character map of tiny_unigram.model: field 2 of field 3 of the file."""
    data = (Path(__file__).parent / "../../tests/golden/tiny_unigram.model").read_bytes()

    def field(data, wanted):
        at = 0

        def varint():
            nonlocal at
            n = shift = 0
            while True:
                n |= (data[at] & 127) << shift
                shift, at = shift + 7, at + 1
                if data[at - 1] < 128:
                    return n

        while at < len(data):
            key = varint()
            if key & 7 == 5:
                at += 4
            elif key & 7 == 2:
                size = varint()
                if key >> 3 == wanted:
                    return data[at:at + size]
                at += size
            else:
                varint()
        raise ValueError("no field %d" % wanted)

    return base64.b64encode(field(field(data, 3), 2)).decode()


def normalizers():
    yield "charsmap", part("Precompiled", precompiled_charsmap=charsmap())
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"):
        yield name, part(name)
    yield "strip", part("Strip", strip_left=True, strip_right=True)
    yield "strip-left", part("Strip", strip_left=True, strip_right=False)
    yield "strip-right", part("Strip", strip_left=False, strip_right=True)
    yield "accents", sequence("normalizers", part("NFD"), part("StripAccents"))
    yield "prepend", part("Prepend", prepend="\u2581")
    yield "replace", replace("ll", "L")
    yield "replace-regex", replace("\\s+", "_", "Regex")
    yield "replace-empty", replace("[aeiou]", "", "Regex")
    yield "bert", part("BertNormalizer", clean_text=True, handle_chinese_chars=True,
                       strip_accents=None, lowercase=True)
    yield "bert-cased", part("BertNormalizer", clean_text=True, handle_chinese_chars=True,
                             strip_accents=None, lowercase=False)
    yield "several", sequence("normalizers", part("NFKC"), part("Lowercase"),
                              replace(" ", "\u2581"), part("Prepend", prepend="\u2581"))


def pre_tokenizers():
    for behavior in ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            yield "split-%s-%s" % (behavior, invert), part(
                "Split", pattern={"String": "l"}, behavior=behavior, invert=invert)
            yield "regex-%s-%s" % (behavior, invert), part(
                "Split", pattern={"Regex": "[ab]|\\d"}, behavior=behavior, invert=invert)
        yield "marks-" + behavior, part("Punctuation", behavior=behavior)
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            yield "metaspace-%s-%s" % (scheme, split), part(
                "Metaspace", replacement="\u2581", prepend_scheme=scheme, split=split)
    yield "metaspace-behind", sequence(
        "pretokenizers", part("Split", pattern={"String": "b"}, behavior="Isolated", invert=False),
        part("Metaspace", replacement="\u2581", prepend_scheme="first", split=True))
    yield "digits", part("Digits", individual_digits=False)
    yield "digit", part("Digits", individual_digits=True)
    yield "words", part("Whitespace")
    yield "blanks", part("WhitespaceSplit")
    yield "bert", part("BertPreTokenizer")
    yield "delimiter", part("CharDelimiterSplit", delimiter="l")
    yield "bytes-inside", sequence(
        "pretokenizers", part("ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True),
        part("Digits", individual_digits=True))


def decoders():
    space = replace("\u2581", " ")
    strip = part("Strip", content=" ", start=1, stop=0)
    yield "none", None
    yield "llama", sequence("decoders", space, part("ByteFallback"), FUSE, strip)
    yield "ends", sequence("decoders", space, FUSE, part("Strip", content=" ", start=2, stop=1))
    yield "each", sequence("decoders", space, part("Strip", content="l", start=1, stop=1))
    yield "metaspace", part("Metaspace", replacement="\u2581", prepend_scheme="always", split=True)
    yield "metaspace-never", part("Metaspace", replacement="\u2581", prepend_scheme="never",
                                  split=True)
    yield "suffix", part("BPEDecoder", suffix="o")
    yield "regex", sequence("decoders", replace("l+", "L", "Regex"), FUSE)


def template():
    ids = {"<s>": 1, "</s>": 2}
    special = {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in ids.items()}

    def token(t, type_id=0):
        return {"SpecialToken": {"id": t, "type_id": type_id}}

    def text(t, type_id=0):
        return {"Sequence": {"id": t, "type_id": type_id}}

    return part("TemplateProcessing", single=[token("<s>"), text("A"), token("</s>")],
                pair=[token("<s>"), text("A"), token("</s>"), text("B", 1), token("</s>", 1),
                      token("</s>", 1)], special_tokens=special)


def posts():
    yield "template", template()
    yield "bert", part("BertProcessing", sep=["</s>", 2], cls=["<s>", 1])
    yield "roberta", part("RobertaProcessing", sep=["</s>", 2], cls=["<s>", 1], trim_offsets=True,
                          add_prefix_space=False)
    yield "sequence", sequence("processors", part("ByteLevel", add_prefix_space=True,
                                                  trim_offsets=False, use_regex=True), template())


def models():
    blanks = replace(" ", "\u2581")
    yield "bytes", tokenizer(bpe(BYTES, byte_fallback=True), blanks)
    for fuse in (False, True):
        yield "unknown-%s" % fuse, tokenizer(bpe(fuse_unk=fuse))
        yield "some-bytes-%s" % fuse, tokenizer(
            bpe(SOME_BYTES, fuse_unk=fuse, byte_fallback=True), blanks)
    yield "dropped", tokenizer(bpe(unk_token=None))
    yield "whole", tokenizer(bpe(["world!", "Hello,", "stop--"], ignore_merges=True),
                             pre=part("WhitespaceSplit"))
    pieces = [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0], ["\u2581", -2.5], ["\u2581hell", -3.25],
              ["hell", -4.5], ["o", -3.0], ["lo", -3.5], ["l", -4.0], ["he", -3.75], ["h", -5.0],
              ["e", -3.125], ["ab", -4.0], ["abb", -6.0], ["ba", -4.0], ["a", -4.0], ["b", -4.0],
              ["\u2581the", -3.5], ["t", -3.0], ["th", -4.25], ["ing", -3.625], ["i", -4.0],
              ["n", -4.0], ["\u2581\u2581", -5.5], ["\u00e9t", -7.0]]
    for fallback in (False, True):
        yield "unigram-%s" % fallback, tokenizer(
            {"type": "Unigram", "unk_id": 0, "byte_fallback": fallback,
             "vocab": pieces + ([[b, -20.0] for b in BYTES] if fallback else [])},
            pre=part("Metaspace", replacement="\u2581", prepend_scheme="always", split=True),
            decoder=sequence("decoders", part("ByteFallback"), part(
                "Metaspace", replacement="\u2581", prepend_scheme="always", split=True)))
    words = ["<unk>", "<s>", "</s>", "hello", "hell", "##o", "the", "##s", "a", "##b", "##ba", "don",
             "'", "t", ",", ".", "!", "world", "stop", "-", "be", "##lie", "##ving", "1", "##2",
             "##3", "abba", "test", "ete", "x", "y", "ok"]
    yield "wordpiece", tokenizer(
        {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##",
         "max_input_chars_per_word": 12, "vocab": {w: i for i, w in enumerate(words)}},
        part("BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None,
             lowercase=True), part("BertPreTokenizer"), part("WordPiece", prefix="##", cleanup=True))
    yield "wordlevel", tokenizer(
        {"type": "WordLevel", "unk_token": "<unk>", "vocab": {w: i for i, w in enumerate(words)}},
        pre=part("Whitespace"))


def added_tokens():
    lower = part("Lowercase")
    yield "flags", tokenizer(bpe(), None, None, None, None, [
        added(1, "<s>", special=True), added(200, "<mask>", lstrip=True), added(201, "ab", single_word=True)])
    yield "normalized", tokenizer(bpe(), lower, None, None, None, [
        added(1, "<s>", special=True, normalized=True), added(200, "<Tok>", normalized=True, rstrip=True),
        added(201, "<mask>", normalized=True, lstrip=True, rstrip=True)])


def every():
    for name, n in normalizers():
        yield "normalizer/" + name, tokenizer(bpe(), normalizer=n)
    for name, p in pre_tokenizers():
        # without a decoder the library puts blanks between byte-level tokens; lorash does not
        yield "pre/" + name, tokenizer(bpe(), pre=p, tokens=[added(1, "<s>", special=True)],
                                       decoder=part("ByteLevel", **FLAGS) if "bytes" in name else None)
    for name, d in decoders():
        yield "decoder/" + name, tokenizer(bpe(SOME_BYTES, byte_fallback=True), replace(" ", "\u2581"),
                                           decoder=d)
    for name, p in posts():
        yield "post/" + name, tokenizer(bpe(), post=p, tokens=[added(1, "<s>", special=True),
                                                               added(2, "</s>", special=True)])
    for name, t in models():
        yield "model/" + name, t
    for name, t in added_tokens():
        # the library numbers added tokens itself: make the file say the same
        size = len(t["model"]["vocab"])
        for i, token in enumerate(x for x in t["added_tokens"] if x["id"] >= 200):
            known = t["model"]["vocab"].get(token["content"])
            token["id"] = known if known is not None else size
            size += known is None
        yield "added/" + name, t


def decoded(tok, ids):
    try:
        return tok.decode(ids, skip_special_tokens=False)
    except BaseException as error:  # Strip panics at a token that it empties
        if type(error).__name__ != "PanicException":
            raise
        return None


def main():
    for name, data in every():
        tok = Tokenizer.from_str(json.dumps(data))
        cases = []
        for text in TEXTS:
            ids = tok.encode(text, add_special_tokens=False).ids
            # it decodes normalized added tokens in their normalised form, which is an error
            cases.append([text, ids, None if name == "added/normalized" else decoded(tok, ids)])
        pairs = [[a, b, tok.encode(a, b).ids] for a, b in PAIRS] if name.startswith("post/") else []
        print(json.dumps({"name": name, "tokenizer": data, "cases": cases, "pairs": pairs},
                         ensure_ascii=False, separators=(",", ":")))


main()
