#!/usr/bin/env python3
"""Writes engine/text/template/case_tables.h: upper, lower and title case as Python has them.

A row stands for code points first, first + step, ... (count of them) that move by 'delta'; what
becomes several characters stands in its own list. The rows are those of the running Python.
Usage: case_tables.py > engine/text/template/case_tables.h
"""
import sys
import unicodedata


def rows(mapping):
    out = []
    for cp in sorted(mapping):
        delta = mapping[cp] - cp
        if out:
            first, step, count, d = out[-1]
            last = first + step * (count - 1)
            if d == delta and (count == 1 and cp - last in (1, 2) or count > 1 and cp - last == step):
                out[-1] = (first, cp - last, count + 1, d)
                continue
        out.append((cp, 1, 1, delta))
    return out


def table(name, method):
    single, several = {}, {}
    for cp in range(0x110000):
        if 0xD800 <= cp <= 0xDFFF:
            continue
        to = method(chr(cp))
        if to == chr(cp):
            continue
        if len(to) == 1:
            single[cp] = ord(to)
        else:
            several[cp] = to
    r = rows(single)
    print("static const struct case_row %s_rows[%d] = {" % (name, len(r)))
    for i in range(0, len(r), 4):
        print("    " + " ".join("{0x%x, %d, %d, %d}," % row for row in r[i:i + 4]))
    print("};")
    print("static const struct case_many %s_many[%d] = {" % (name, max(1, len(several))))
    items = ["{0x%x, {%s}}," % (cp, ", ".join("0x%x" % ord(c) for c in to))
             for cp, to in sorted(several.items())] or ["{0, {0}},"]
    for i in range(0, len(items), 3):
        print("    " + " ".join(items[i:i + 3]))
    print("};")


def main():
    if sys.argv[1:]:
        sys.exit(__doc__)
    print("/* case_tables.h -- case mappings of Unicode %s, written by"
          % unicodedata.unidata_version)
    print(" * scripts/golden/case_tables.py: do not edit. Only pytext_case.c includes it. */")
    print("/* clang-format off */")
    table("upper", str.upper)
    table("lower", str.lower)
    table("title", str.title)
    print("/* clang-format on */")


if __name__ == "__main__":
    main()
