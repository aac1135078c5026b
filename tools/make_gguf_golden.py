#!/usr/bin/env python3
"""Makes tests/golden/gguf_blocks.json: blocks of GGUF types and what they stand for.

    pip install gguf==0.19.0
    python3 tools/make_gguf_golden.py tests/golden/gguf_blocks.json

For each type: random blocks, their scales finite and of every size and sign, and the
float32 weights of the package's dequantize, both as hexadecimal bytes.
"""
import json
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

# Where the float16 numbers of a block stand.
HALVES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
          Type.Q8_0: [0], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}
BLOCKS = 4


def blocks_of(kind, random):
    _, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for at in HALVES[kind]:
        halves = random.normal(0, 1, BLOCKS) * 10.0 ** np.arange(-5, BLOCKS - 5)
        blocks[:, at:at + 2] = halves.astype(np.float16).reshape(-1, 1).view(np.uint8)
    return blocks


def main(path):
    random = np.random.default_rng(11)
    golden = {}
    for kind in HALVES:
        blocks = blocks_of(kind, random)
        weights = dequantize(blocks, kind).astype("<f4")
        golden[kind.name] = {"blocks": blocks.tobytes().hex(), "weights": weights.tobytes().hex()}
    with open(path, "w") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
