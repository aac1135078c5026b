#!/usr/bin/env python3
"""Makes tests/golden/quantized.json: what mlx_lm.convert writes, and its logits.

    pip install mlx==0.32.4 "mlx[cpu]" mlx-lm==0.32.2
    python3 tools/make_quantized_golden.py tests/golden/quantized.json

The source is a tiny Llama whose weights follow a formula, so that the test makes the same
one. For each setting: the SHA-256 of all tensors, the "quantization" block of config.json
and, for one group size of each, the logits [T, V] of TOKENS in float32.
"""
import hashlib
import json
import shutil
import struct
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx_lm.convert import convert
from mlx_lm.utils import load_model

TOKENS = [3, 17, 5, 40, 2, 29]
WIDTH, INNER, VOCAB, HEADS, KV_HEADS, HEAD_WIDTH = 128, 256, 48, 4, 2, 32
TOKENIZER = Path(__file__).parent.parent / "tests/support/tiny_tokenizer"


def config_of(layers, tied):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "num_hidden_layers": layers, "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_WIDTH, "vocab_size": VOCAB, "max_position_embeddings": 256,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": tied,
        "eos_token_id": 1, "torch_dtype": "bfloat16"}


def shapes_of(layers, tied):
    shapes = {"model.embed_tokens.weight": (VOCAB, WIDTH), "model.norm.weight": (WIDTH,)}
    if not tied:
        shapes["lm_head.weight"] = (VOCAB, WIDTH)
    queries, keys = HEADS * HEAD_WIDTH, KV_HEADS * HEAD_WIDTH
    for layer in range(layers):
        for name, shape in {
            "input_layernorm": (WIDTH,), "post_attention_layernorm": (WIDTH,),
            "self_attn.q_proj": (queries, WIDTH), "self_attn.k_proj": (keys, WIDTH),
            "self_attn.v_proj": (keys, WIDTH), "self_attn.o_proj": (WIDTH, queries),
            "mlp.gate_proj": (INNER, WIDTH), "mlp.up_proj": (INNER, WIDTH),
            "mlp.down_proj": (WIDTH, INNER),
        }.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    return shapes


def values_of(index, shape):
    """The weights of the index-th tensor by name: a hash of each place, in -1/4 .. 1/4."""
    places = np.arange(np.prod(shape), dtype=np.uint32)
    bits = (places + np.uint32(index * 1000003)) * np.uint32(2654435761)
    bits ^= bits >> np.uint32(15)
    bits *= np.uint32(2246822519)
    bits ^= bits >> np.uint32(13)
    values = (bits >> np.uint32(16)).astype(np.float32) / 131072 - 0.25
    return (1 + values if len(shape) == 1 else values).reshape(shape)


def write_source(folder, layers, tied):
    shutil.copytree(TOKENIZER, folder)
    (folder / "config.json").write_text(json.dumps(config_of(layers, tied)))
    shapes = sorted(shapes_of(layers, tied).items())
    tensors = {name: mx.array(values_of(i, shape)).astype(mx.bfloat16)
               for i, (name, shape) in enumerate(shapes)}
    mx.save_safetensors(str(folder / "model.safetensors"), tensors, {"format": "pt"})


def tensors_in(folder):
    """{name: (dtype, shape, bytes)} of a model directory, read without any library."""
    tensors = {}
    for path in sorted(folder.glob("model*.safetensors")):
        data = path.read_bytes()
        start = 8 + struct.unpack("<Q", data[:8])[0]
        for name, entry in json.loads(data[8:start]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                tensors[name] = (entry["dtype"], entry["shape"], data[start + begin:start + end])
    return tensors


def digest(folder):
    """SHA-256 of name, dtype, shape and bytes of every tensor, in the names' order."""
    sha = hashlib.sha256()
    for name, (dtype, shape, data) in sorted(tensors_in(folder).items()):
        sha.update(f"{name} {dtype} {','.join(map(str, shape))}\n".encode() + data)
    return sha.hexdigest()


def settings():
    """(name, options of mlx_lm.convert)"""
    for bits in (2, 3, 4, 5, 6, 8):
        for group in (32, 64, 128):
            yield f"affine_{bits}_{group}", dict(q_bits=bits, q_group_size=group)
    yield "affine", {}
    for mode in ("mxfp4", "mxfp8", "nvfp4"):
        yield mode, dict(q_mode=mode)
    for recipe in ("mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"):
        yield recipe, dict(quant_predicate=recipe)
    yield "mixed_3_6_128", dict(quant_predicate="mixed_3_6", q_group_size=128, q_bits=8)
    yield "affine_float16", dict(dtype="float16")
    yield "nvfp4_float32", dict(dtype="float32", q_mode="nvfp4")


def shape_of(name):
    """Layers and whether the head is tied: recipes differ by layer and for a head."""
    return (8, False) if name.startswith("mixed") else (2, True)


def logits_of(folder):
    model, _ = load_model(folder)
    model.set_dtype(mx.float32)
    logits = model(mx.array([TOKENS]))[0].astype(mx.float32)
    return [[float(f"{value:.7g}") for value in row] for row in logits.tolist()]


def golden(source, folder, name, options):
    convert(str(source), str(folder / name), quantize=True, **options)
    entry = {
        "name": name, "options": options, "layers": shape_of(name)[0],
        "tied": shape_of(name)[1], "sha256": digest(folder / name),
        "quantization": json.loads((folder / name / "config.json").read_text())["quantization"]}
    if "dtype" not in options:  # which we write into config.json, and mlx_lm does not
        convert(str(folder / name), str(folder / "dense"), dequantize=True)
        entry["dequantized_sha256"] = digest(folder / "dense")
        shutil.rmtree(folder / "dense")
    if not name.startswith("affine_") or name.endswith("_64"):
        entry["logits"] = logits_of(folder / name)
    return entry


def main(path):
    mx.set_default_device(mx.cpu)
    with tempfile.TemporaryDirectory() as folder:
        folder, entries = Path(folder), []
        for layers, tied in ((2, True), (8, False)):
            write_source(folder / f"source{layers}", layers, tied)
        for name, options in settings():
            source = folder / f"source{shape_of(name)[0]}"
            entries.append(golden(source, folder, name, options))
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    Path(path).write_text(f'{{"tokens": {TOKENS}, "settings": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/quantized.json")
