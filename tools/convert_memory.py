#!/usr/bin/env python3
"""The memory that `pupil convert` takes for a model of 7 billion parameters.

    tools/convert_memory.py build/release/pupil FOLDER

Makes models of Qwen2.5-7B's shape in FOLDER, in bfloat16 safetensors and as a GGUF file of
the types that llama.cpp calls Q4_K_M. Their weights are 0, holes in files that take no
disk; what a conversion writes takes up to 15 GB there until the next one. Prints a table of
peak resident memory.
"""
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

LAYERS, WIDTH, INNER, HEADS, KV_HEADS, VOCAB = 28, 3584, 18944, 28, 4, 152064
KV = WIDTH // HEADS * KV_HEADS
MOST_GB = 6
Q4_K, Q6_K, F32 = 12, 14, 0
BLOCKS = {Q4_K: (256, 144), Q6_K: (256, 210), F32: (1, 4)}  # weights, bytes
U32, FLOAT, STRING, ARRAY, I32 = 4, 6, 8, 9, 5  # types of GGUF's values

# Hugging Face's name, GGUF's, shape, GGUF's type.
OUTER = [("model.embed_tokens.weight", "token_embd.weight", (VOCAB, WIDTH), Q4_K),
         ("model.norm.weight", "output_norm.weight", (WIDTH,), F32),
         ("lm_head.weight", "output.weight", (VOCAB, WIDTH), Q6_K)]
BLOCK = [("input_layernorm.weight", "attn_norm.weight", (WIDTH,), F32),
         ("post_attention_layernorm.weight", "ffn_norm.weight", (WIDTH,), F32),
         ("self_attn.q_proj.weight", "attn_q.weight", (WIDTH, WIDTH), Q4_K),
         ("self_attn.k_proj.weight", "attn_k.weight", (KV, WIDTH), Q4_K),
         ("self_attn.v_proj.weight", "attn_v.weight", (KV, WIDTH), Q6_K),
         ("self_attn.q_proj.bias", "attn_q.bias", (WIDTH,), F32),
         ("self_attn.k_proj.bias", "attn_k.bias", (KV,), F32),
         ("self_attn.v_proj.bias", "attn_v.bias", (KV,), F32),
         ("self_attn.o_proj.weight", "attn_output.weight", (WIDTH, WIDTH), Q4_K),
         ("mlp.gate_proj.weight", "ffn_gate.weight", (INNER, WIDTH), Q4_K),
         ("mlp.up_proj.weight", "ffn_up.weight", (INNER, WIDTH), Q4_K),
         ("mlp.down_proj.weight", "ffn_down.weight", (WIDTH, INNER), Q6_K)]
TENSORS = OUTER + [(f"model.layers.{i}.{name}", f"blk.{i}.{gguf}", shape, kind)
                   for i in range(LAYERS) for name, gguf, shape, kind in BLOCK]


def size_of(shape):
    size = 1
    for side in shape:
        size *= side
    return size


def write_with_hole(path, head, hole):
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + hole)


def make_directory(folder):
    folder.mkdir()
    header, end = {}, 0
    for name, _, shape, _ in TENSORS:
        begin, end = end, end + 2 * size_of(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    write_with_hole(folder / "model.safetensors", struct.pack("<Q", len(text)) + text, end)
    (folder / "config.json").write_text(json.dumps({
        "model_type": "qwen2", "num_hidden_layers": LAYERS, "hidden_size": WIDTH,
        "intermediate_size": INNER, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCAB, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6,
        "rope_theta": 1e6, "tie_word_embeddings": False, "eos_token_id": 1,
        "torch_dtype": "bfloat16"}))
    vocabulary = {f"t{i}": i for i in range(VOCAB)}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "t0"}}))
    return folder


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def value_of(value):
    if isinstance(value, str):
        return struct.pack("<I", STRING) + text(value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT, value)
    if isinstance(value, int):
        return struct.pack("<II", U32, value)
    kind, values = value
    items = b"".join(text(v) if kind == STRING else struct.pack("<i", v) for v in values)
    return struct.pack("<IIQ", ARRAY, kind, len(values)) + items


def make_gguf(path):
    metadata = {
        "general.architecture": "qwen2", "qwen2.block_count": LAYERS,
        "qwen2.embedding_length": WIDTH, "qwen2.feed_forward_length": INNER,
        "qwen2.context_length": 32768, "qwen2.attention.head_count": HEADS,
        "qwen2.attention.head_count_kv": KV_HEADS,
        "qwen2.attention.layer_norm_rms_epsilon": 1e-6, "qwen2.rope.freq_base": 1e6,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": (STRING, [f"t{i}" for i in range(VOCAB)]),
        "tokenizer.ggml.token_type": (I32, [1] * VOCAB),
        "tokenizer.ggml.merges": (STRING, []), "tokenizer.ggml.eos_token_id": 1}
    head = b"GGUF" + struct.pack("<IQQ", 3, len(TENSORS), len(metadata))
    head += b"".join(text(key) + value_of(value) for key, value in metadata.items())
    offset = 0
    for _, name, shape, kind in TENSORS:
        head += text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", side) for side in reversed(shape))
        head += struct.pack("<IQ", kind, offset)
        weights, size = BLOCKS[kind]
        offset += (size_of(shape) // weights * size + 31) // 32 * 32
    write_with_hole(path, head + b"\0" * (-len(head) % 32), offset)
    return path


def convert(pupil, source, folder, options):
    """(GB of memory at the most, seconds, GB written)."""
    target, start = folder / "out", time.time()
    process = subprocess.Popen([pupil, "convert", "--from", source, "--to", target, *options],
                               stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"pupil convert {source}: status {status}")
    written = sum(file.stat().st_size for file in target.iterdir())
    shutil.rmtree(target)
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / 1e9, time.time() - start, written / 1e9


def main(pupil, folder):
    folder = Path(folder)
    sources = {"safetensors": make_directory(folder / "from"),
               "GGUF": make_gguf(folder / "from.gguf")}
    print(f"{sum(size_of(t[2]) for t in TENSORS) / 1e9:.1f} billion parameters")
    print(f"{'':20}{'peak':>9}{'time':>8}{'written':>10}")
    most = 0
    for name, source in sources.items():
        for options in ([], ["-q"]):
            peak, seconds, written = convert(pupil, source, folder, options)
            most = max(most, peak)
            print(f"{' '.join([name, *options]):20}{peak:6.2f} GB{seconds:6.0f} s{written:7.1f} GB",
                  flush=True)
    return most > MOST_GB


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
