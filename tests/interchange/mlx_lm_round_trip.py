#!/usr/bin/env python3
"""What mlx-lm's users do with its commands, done by ours, on a tiny model of each family.

    mlx_lm_round_trip.py PUPIL GOLDEN_DIR

  convert   `pupil convert` and mlx_lm.convert, dense and in 4 bits: tensors of the same bytes
  generate  greedy text of 16 tokens: the same, up to two tokens of nearly the same logits
  adapter   one that `pupil sft` trained: mlx-lm's log-probabilities with it are ours
  fused     `pupil fuse` and mlx_lm.fuse of that adapter: the same weights, to rounding
  dora      adapter and fused with `fine_tune_type: dora`, the larger of the two differences
  packed    the same on the 4-bit model: the share of words of codes that differ

The models are those of tests/golden, 64 wide and with random weights (mlx_lm_families.py, which
also shows adapters that mlx-lm made). Prints a table. Exits with 77, which ctest shows as
skipped, where mlx-lm is missing.
"""
import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from student_prompts import compare
from tiny_adapter import put_words, trained

try:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.convert import convert as mlx_lm_convert
    from mlx_lm.utils import load_adapters, load_model

    import mlx_lm_families as families
except ImportError as missing:
    print(f"skipped: {missing}; to run it: pip install mlx-lm")
    sys.exit(77)

NEAR_TIE = 1e-3     # nats
TOLERANCE = 1e-4    # of weights of about 0.2, float32 in another order
LONG = 16           # tokens of greedy text
END = 1             # kept out of it


def source_of(golden, folder):
    """A directory in Hugging Face's layout: the tiny model, wider."""
    narrow = folder / "narrow"
    families.put_source(narrow, families.config_of(golden),
                        mx.load(str(golden / "model.safetensors")))
    families.convert(families.PUPIL, narrow, folder / "narrow-mlx")
    families.put_source(folder / "source", *families.wider(folder / "narrow-mlx"))
    put_words(folder / "source", families.WIDER["vocab_size"])
    return folder / "source"


def tensors_of(folder):
    return {name: (t.dtype, t.shape, bytes(memoryview(t.view(mx.uint8))))
            for part in sorted(folder.glob("*.safetensors"))
            for name, t in mx.load(str(part)).items()}


def packing_of(folder):
    return json.loads((folder / "config.json").read_text()).get("quantization")


def convert_differs(source, folder):
    """Names of tensors that are not the same; leaves our two models in `folder`."""
    wrong = []
    for name, flags, settings in (("dense", [], {}),
                                  ("packed", ["-q", "--q-bits", "4", "--q-group-size", "32"],
                                   {"quantize": True, "q_bits": 4, "q_group_size": 32})):
        mine = families.convert(families.PUPIL, source, folder / name, *flags)
        theirs = folder / f"{name}-theirs"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            mlx_lm_convert(str(source), str(theirs), **settings)
        a, b = tensors_of(mine), tensors_of(theirs)
        wrong += sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
        if packing_of(mine) != packing_of(theirs):
            wrong.append("config.json")
    return wrong


def greedy(model, tokens, count):
    """[(token, margin of the two best in nats)]."""
    out, tokens = [], list(tokens)
    not_end = mx.arange(families.WIDER["vocab_size"]) != END
    for _ in range(count):
        logits = model(mx.array([tokens]))[0, -1].astype(mx.float32)
        logits = mx.where(not_end, logits, -mx.inf)
        second, best = mx.sort(logits)[-2:].tolist()
        out.append((mx.argmax(logits).item(), best - second))
        tokens.append(out[-1][0])
    return out


def generate_agrees(folder):
    tokens = families.TOKENS[:2]
    out = subprocess.run(
        [families.PUPIL, "generate", "--model", folder / "dense", "--prompts", "/dev/stdin",
         "--json", "--max-tokens", str(LONG), "--min-tokens", str(LONG)],
        input=json.dumps({"input_ids": tokens}) + "\n",
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    mine = json.loads(out)["ids"]
    return compare(mine, greedy(load_model(folder / "dense")[0], tokens, LONG), NEAR_TIE)


def with_adapter(model_dir, adapter):
    model, _ = load_model(model_dir)
    model = load_adapters(model, str(adapter))
    model.eval()
    return model


def their_fused(model):
    weights = {name: module.fuse().weight for name, module in model.named_modules()
               if hasattr(module, "fuse")}
    return {f"{name}.weight": weight for name, weight in weights.items()}


def fuse(base, adapter):
    """The parameters that `pupil fuse` writes, by name."""
    fused = Path(tempfile.mkdtemp(dir=base.parent))
    subprocess.run([families.PUPIL, "fuse", "--model", base, "--adapter", adapter, "--to", fused],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return dict(tree_flatten(load_model(fused)[0].parameters()))


def packed_share(folder, adapter):
    """The share of words of packed codes that differ: sums are rounded to the next code, and
    the last bit of a sum may be another."""
    mine = fuse(folder / "packed", adapter)
    expected = their_fused(with_adapter(folder / "packed", adapter))
    return max(mx.mean(mine[name] != codes).item() for name, codes in expected.items())


def fused_difference(folder, adapter):
    """The largest of all weights that the adapter changes."""
    mine = fuse(folder / "dense", adapter)
    expected = their_fused(with_adapter(folder / "dense", adapter))
    if not expected:
        return float("inf")
    return max(mx.max(mx.abs(mine[name].astype(mx.float32) - w.astype(mx.float32))).item()
               for name, w in expected.items())


def adapter_difference(folder, adapter):
    """In nats; infinite where the adapter changes nothing, and so shows nothing."""
    dense, tokens = folder / "dense", families.TOKENS
    mine = families.ours(families.PUPIL, dense, tokens, adapter)
    if families.difference(families.ours(families.PUPIL, dense, tokens), mine) < 0.01:
        return float("inf")
    return families.difference(mine, families.theirs(with_adapter(dense, adapter), tokens))


def check(golden, folder):
    """(what convert does differently, tokens that agree, whether all could be expected to,
    the difference with the adapter in nats, of fused weights, of both with DoRA, of fused
    codes)."""
    wrong = convert_differs(source_of(golden, folder), folder)
    same, _, agrees = generate_agrees(folder)
    lora = trained(families.PUPIL, folder / "dense", folder / "lora", keys="all_linear,experts")
    dora = trained(families.PUPIL, folder / "dense", folder / "dora", fine_tune_type="dora")
    return (wrong, same, agrees, adapter_difference(folder, lora), fused_difference(folder, lora),
            max(adapter_difference(folder, dora), fused_difference(folder, dora)),
            packed_share(folder, lora))


def main(pupil, golden_dir):
    families.PUPIL = pupil
    mx.set_default_device(mx.cpu)
    failed = False
    print(f"{'':16}{'convert':>10}{'greedy':>12}{'adapter':>10}{'fused':>10}{'dora':>10}"
          f"{'packed':>10}")
    for name in families.FAMILIES:
        folder = Path(tempfile.mkdtemp())
        try:
            wrong, same, agrees, far, fused, dora, packed = check(Path(golden_dir) / name, folder)
        finally:
            shutil.rmtree(folder)
        good = not wrong and agrees and max(far, fused, dora) < TOLERANCE and packed < 0.02
        failed |= not good
        print(f"{name:16}{'equal' if not wrong else 'DIFFERS':>10}{same:>5} tokens"
              f"{far:10.1e}{fused:10.1e}{dora:10.1e}{packed:10.1e}{'' if good else '  DIFFERS ' + ' '.join(wrong)}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
