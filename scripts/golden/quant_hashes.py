#!/usr/bin/env python3
"""Writes tests/golden/quant_hashes.txt: for each block format the hash of what the reference
decoder (package gguf) makes of random blocks; tests/kernels/quant.c does the same with ours.

Byte i of the blocks of format 'id' is the top byte of splitmix64(id * 2^32 + i). The hash is FNV-1a
over the little-endian bits of the decoded f32 values, every NaN as 7FC00000.

Usage: quant_hashes.py > tests/golden/quant_hashes.txt
"""
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
ELEMENTS = 1 << 16


def random_bytes(kind, n):
    with np.errstate(over="ignore"):
        z = np.uint64(kind << 32) + np.arange(n, dtype=np.uint64)
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(56)).astype(np.uint8)


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def main():
    for name in TYPES:
        kind = GGMLQuantizationType[name]
        block, size = GGML_QUANT_SIZES[kind]
        n = ELEMENTS // block
        with np.errstate(all="ignore"):
            values = dequantize(random_bytes(int(kind), n * size).reshape(n, size), kind).ravel()
        bits = values.astype("<f4").view("<u4")
        bits[np.isnan(values)] = 0x7FC00000
        print(f"{name.lower()} {ELEMENTS} {fnv(bits.tobytes()):016x}")


if __name__ == "__main__":
    main()
