#!/usr/bin/env python3
"""Writes tests/golden/small.safetensors with the reference library, which tests/engine/safetensors.c
writes again byte for byte: every sort rule, a scalar, a tensor without elements, names that need
escapes, one metadata entry.

Usage: safetensors_small.py OUT_FOLDER
"""
import sys

import numpy as np
from safetensors.numpy import save_file


def main():
    tensors = {
        "b.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a.weight": np.arange(4, dtype=np.float32) / 8,
        "scalar": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 5), dtype=np.float16),
        "half": np.array([1, -2, 0.5], dtype=np.float16),
        "bytes": np.arange(5, dtype=np.uint8),
        "flags": np.array([True, False, True]),
        "double": np.array([[0.1]], dtype=np.float64),
        "A": np.array([3], dtype=np.int32),
        'odd "name"\\ \t\u00e9\x01\x7f/': np.array([-1], dtype=np.int16),
    }
    save_file(tensors, f"{sys.argv[1]}/small.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
