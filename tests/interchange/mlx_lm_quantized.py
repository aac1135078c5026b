#!/usr/bin/env python3
"""Quantised models that mlx_lm.convert wrote, and ours, are the same and say the same.

    mlx_lm_quantized.py PUPIL

For every mode, width, group size and recipe: converts a tiny model with both programs, by
the same options; all tensors must have the same bytes and config.json the same
"quantization". Then mlx_lm loads our directory, `pupil logprobs` loads mlx_lm's, and the
log-probabilities must agree. The same once more for the way back, --dequantize.
Exits with 77, which ctest shows as skipped, where mlx_lm is missing.
"""
import contextlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tools"))
try:
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_lm.convert import convert
    from mlx_lm.utils import load_model

    from make_quantized_golden import TOKENS, settings, shape_of, tensors_in, write_source
except ImportError as missing:
    print(f"skipped: {missing}; to run it: pip install mlx-lm")
    sys.exit(77)

TOLERANCE = 1e-3  # nats; our kernels round inputs to 16 bits of a group's largest


def theirs(source, target, **options):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        convert(str(source), str(target), **options)


def ours(pupil, source, target, options, flag):
    command = [pupil, "convert", "--hf-path", source, "--mlx-path", target, flag]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def block_of(folder):
    config = json.loads((folder / "config.json").read_text())
    return config.get("quantization"), config.get("quantization_config")


def their_logprobs(folder):
    model, _ = load_model(folder)
    model.set_dtype(mx.float32)
    logits = model(mx.array([TOKENS[:-1]]))[0].astype(mx.float32)
    chosen = mx.array(TOKENS[1:])[:, None]
    return mx.take_along_axis(nn.log_softmax(logits), chosen, 1)[:, 0].tolist()


def our_logprobs(pupil, folder):
    out = subprocess.run(
        [pupil, "logprobs", "--model", folder], input=json.dumps({"input_ids": TOKENS}),
        capture_output=True, text=True, check=True).stdout
    return json.loads(out)["logprobs"]


def differences(mine, their):
    """What is not the same in two model directories."""
    a, b = tensors_in(mine), tensors_in(their)
    names = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    if block_of(mine) != block_of(their):
        names.append("config.json")
    return names


def check(pupil, source, folder, name, options):
    packed = [folder / f"{name}-ours", folder / f"{name}-theirs"]
    ours(pupil, source, packed[0], options, "-q")
    theirs(source, packed[1], quantize=True, **options)
    wrong = differences(*packed)
    if "dtype" not in options:  # which we write into config.json, and mlx_lm does not
        dense = [folder / f"{name}-ours-dense", folder / f"{name}-theirs-dense"]
        ours(pupil, packed[1], dense[0], {}, "-d")
        theirs(packed[1], dense[1], dequantize=True)
        wrong += differences(*dense)
    far = max(abs(a - b) for a, b in zip(
        our_logprobs(pupil, packed[1]), their_logprobs(packed[0]), strict=True))
    good = not wrong and far < TOLERANCE
    print(f"  {'ok' if good else 'DIFFERS':8}{name:16}{far:.1e} nats {' '.join(wrong)}", flush=True)
    return good


def main(pupil):
    mx.set_default_device(mx.cpu)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for layers, tied in ((2, True), (8, False)):
            write_source(folder / f"source{layers}", layers, tied)
        results = [check(pupil, folder / f"source{shape_of(name)[0]}", folder, name, options)
                   for name, options in settings()]
    return not all(results)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
