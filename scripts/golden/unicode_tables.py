#!/usr/bin/env python3
"""Writes engine/text/unicode_tables.h: the classes and widths of Unicode 16.0.

Needs the Python package unicodedata2 16.0.0, whose counts (141,028 letters, 1,911 numbers,
25 spaces) are those of the tokenizer library we must agree with; and tokenizers 0.23.3 itself,
whose Punctuation follows a much older Unicode (726 characters): those are asked from it.
Usage: unicode_tables.py > engine/text/unicode_tables.h
"""
import sys

import unicodedata2 as ud
from tokenizers import pre_tokenizers

assert ud.unidata_version == "16.0.0", ud.unidata_version

LETTER, NUMBER, SPACE, WORD, MARK, ASSIGNED = 1, 2, 4, 8, 16, 128
WIDTH_SHIFT = 5  # bits 5 and 6: columns on a terminal

# White_Space of Unicode: not a general category, 25 code points
SPACES = set([*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B),
              0x2028, 0x2029, 0x202F, 0x205F, 0x3000])
# Other_Alphabetic outside the marks: circled and squared letters
ALPHABETIC = set([*range(0x24B6, 0x24EA), *range(0x1F130, 0x1F14A),
                  *range(0x1F150, 0x1F16A), *range(0x1F170, 0x1F18A)])


def width(cp, cat):
    if cp == 0xAD:
        return 1
    if cat in ("Mn", "Me", "Cf", "Zl", "Zp") or 0x1160 <= cp <= 0x11FF or 0xD7B0 <= cp <= 0xD7FF:
        return 0
    return 2 if ud.east_asian_width(chr(cp)) in "WF" else 1


def flags(cp):
    cat = ud.category(chr(cp))
    f = 0
    if cat[0] == "L":
        f |= LETTER
    if cat[0] == "N":
        f |= NUMBER
    if cat[0] == "M":
        f |= MARK
    if cp in SPACES:
        f |= SPACE
    if cat[0] in "LM" or cat in ("Nd", "Nl", "Pc") or cp in ALPHABETIC or cp in (0x200C, 0x200D):
        f |= WORD
    if cat not in ("Cn", "Cs", "Co"):
        f |= ASSIGNED
    return f | width(cp, cat) << WIDTH_SHIFT


def punctuation():
    """Ranges (first, last) of what the library's Punctuation cuts at."""
    cutter, ranges = pre_tokenizers.Punctuation("isolated"), []
    for cp in range(0x110000):
        if 0xD800 <= cp < 0xE000 or len(cutter.pre_tokenize_str("a" + chr(cp) + "a")) < 3:
            continue
        if ranges and ranges[-1][1] == cp - 1:
            ranges[-1][1] = cp
        else:
            ranges.append([cp, cp])
    return ranges


def numbers(values, fmt, per_line):
    values = [fmt % v for v in values]
    for i in range(0, len(values), per_line):
        print("    " + ", ".join(values[i:i + per_line]) + ",")


def main():
    every = [flags(cp) for cp in range(0x110000)]
    counts = [sum(1 for f in every if f & bit) for bit in (LETTER, NUMBER, SPACE)]
    if counts != [141028, 1911, 25]:
        sys.exit("counts %s differ from the reference's 141028, 1911, 25" % counts)
    ranges = [(cp, f) for cp, f in enumerate(every) if cp == 0 or every[cp - 1] != f]
    starts = [cp for cp, _ in ranges]
    pages, r = [], 0
    for page in range(0x200 + 1):
        while r + 1 < len(starts) and starts[r + 1] <= page << 8:
            r += 1
        pages.append(r)
    print("/* unicode_tables.h -- classes and widths of Unicode 16.0, written by")
    print(" * scripts/golden/unicode_tables.py: do not edit. Only unicode.c includes it. */")
    print("/* clang-format off */")
    print("static const uint32_t unicode_ranges[%d] = { /* first code point << 8 | flags */"
          % len(ranges))
    numbers([cp << 8 | f for cp, f in ranges], "0x%x", 8)
    print("};")
    print("static const uint16_t unicode_pages[%d] = { /* range that holds code point i << 8 */"
          % len(pages))
    numbers(pages, "%d", 16)
    print("};")
    marks = punctuation()
    print("static const uint32_t unicode_marks[%d][2] = { /* punctuation, first and last */"
          % len(marks))
    numbers(["{0x%x, 0x%x}" % tuple(r) for r in marks], "%s", 5)
    print("};")


main()
