#!/usr/bin/env python3
"""mlx-lm loads what we write of every family, and says the same.

    mlx_lm_families.py PUPIL GOLDEN_DIR

For each tiny model of tests/golden: `pupil convert` as it is, and a wider one of the same
configuration with random weights converted to 4 bits; mlx-lm loads both, and its
log-probabilities of a text equal those of `pupil logprobs`. An adapter that mlx-lm makes
on the wider one, on the modules that it takes by default, is loaded by both.
Where mlx-lm knows no windows they are made longer than the text, and LongRoPE's scaling,
whose long factors it takes at any length, is left out: tests/golden holds both to Transformers.
Prints a table. Exits with 77, which ctest shows as skipped, where mlx-lm is missing.
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.tuner.utils import linear_to_lora_layers
    from mlx_lm.utils import _get_classes, load_model
except ImportError as missing:
    print(f"skipped: {missing}; to run it: pip install mlx-lm")
    sys.exit(77)

FAMILIES = ["llama", "llama_yarn", "qwen2", "mistral_window", "qwen3", "gemma2", "gemma3_text",
            "phi3", "granite", "olmo2", "smollm3", "qwen3_moe"]
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3]
TOKENIZER = {"version": "1.0", "added_tokens": [], "model": {
    "type": "WordLevel", "vocab": {"<unk>": 0, "<end>": 1}, "unk_token": "<unk>"}}
# Groups of 32 divide every row, and the heads stay as they are.
WIDER = {"hidden_size": 64, "intermediate_size": 128, "moe_intermediate_size": 64,
         "head_dim": 16, "vocab_size": 64}
TOLERANCE = 2e-4  # nats, float32 in another order
# Of packed weights other kernels take the sums; a wrong operation is off by a tenth and
# more.
TOLERANCE_PACKED = 1e-2


def put_source(folder, config, weights):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    mx.save_safetensors(str(folder / "model.safetensors"), weights)


def config_of(golden):
    config = json.loads((golden / "config.json").read_text()) | {"eos_token_id": 1}
    if config.get("sliding_window") and config["model_type"] != "gemma3_text":
        config["sliding_window"] = config["max_position_embeddings"]
    if config["model_type"] == "phi3":
        config["rope_parameters"] = {
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75}
    return config


def wider(dense_dir):
    """The converted configuration, wider, with random weights."""
    config = json.loads((dense_dir / "config.json").read_text())
    config |= {key: value for key, value in WIDER.items() if key in config}
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    weights = dict(tree_flatten(model.parameters()))
    for i, (name, value) in enumerate(sorted(weights.items())):
        noise = mx.random.normal(value.shape, key=mx.random.key(i))
        weights[name] = 1 + 0.1 * noise if value.ndim == 1 else 0.2 * noise
    if config.get("tie_word_embeddings", False):
        weights.pop("lm_head.weight", None)
    return config, weights


def theirs(model, tokens):
    logits = model(mx.array([tokens]))[0].astype(mx.float32)
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    return [logprobs[i, t].item() for i, t in enumerate(tokens[1:])]


def ours(pupil, model_dir, tokens, adapter=None):
    command = [pupil, "logprobs", "--model", str(model_dir)]
    command += ["--adapter", str(adapter)] if adapter else []
    out = subprocess.run(command, input=json.dumps({"input_ids": tokens}) + "\n",
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(out)["logprobs"]


def make_adapter(model, folder):
    """mlx-lm's, on the modules that it takes when none are named, experts included."""
    parameters = {"rank": 4, "scale": 2.0, "dropout": 0.0}
    linear_to_lora_layers(model, len(model.layers), parameters)
    arrays = {name: value for name, value in tree_flatten(model.parameters())
              if name.endswith((".lora_a", ".lora_b"))}
    for i, name in enumerate(sorted(arrays)):
        arrays[name] = 0.3 * mx.random.normal(arrays[name].shape, key=mx.random.key(i))
    model.load_weights(list(arrays.items()), strict=False)
    folder.mkdir()
    mx.save_safetensors(str(folder / "adapters.safetensors"), arrays)
    (folder / "adapter_config.json").write_text(json.dumps(
        {"fine_tune_type": "lora", "num_layers": -1, "lora_parameters": parameters}))


def convert(pupil, source, target, *options):
    subprocess.run([pupil, "convert", "--from", str(source), "--to", str(target), *options],
                   check=True, stdout=subprocess.DEVNULL)
    return target


def difference(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def check(pupil, golden, folder):
    """The three differences, in nats."""
    config = config_of(golden)
    put_source(folder / "from", config, mx.load(str(golden / "model.safetensors")))
    dense = convert(pupil, folder / "from", folder / "dense")
    found = [difference(ours(pupil, dense, TOKENS), theirs(load_model(dense)[0], TOKENS))]
    put_source(folder / "wide", *wider(dense))
    packed = convert(pupil, folder / "wide", folder / "packed", "-q", "--q-bits", "4",
                     "--q-group-size", "32")
    model = load_model(packed)[0]
    found.append(difference(ours(pupil, packed, TOKENS), theirs(model, TOKENS)))
    make_adapter(model, folder / "adapter")
    mine = ours(pupil, packed, TOKENS, folder / "adapter")
    return found + [difference(mine, theirs(model, TOKENS))]


def main(pupil, golden_dir):
    mx.set_default_device(mx.cpu)
    failed = False
    print(f"{'nats':16}{'dense':>10}{'4 bits':>10}{'adapter':>10}")
    for name in FAMILIES:
        folder = Path(tempfile.mkdtemp())
        try:
            dense, packed, adapted = check(pupil, Path(golden_dir) / name, folder)
        finally:
            shutil.rmtree(folder)
        good = dense < TOLERANCE and max(packed, adapted) < TOLERANCE_PACKED
        failed |= not good
        print(f"{name:16}{dense:10.1e}{packed:10.1e}{adapted:10.1e}{'' if good else '  DIFFERS'}",
              flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
