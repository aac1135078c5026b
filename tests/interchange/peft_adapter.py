#!/usr/bin/env python3
"""PEFT loads the adapters that we write in its layout, and says the same.

    peft_adapter.py PUPIL GOLDEN_DIR

For each kind of adapter `pupil sft` trains one on a tiny model of tests/golden and `pupil
adapter` writes it in PEFT's layout. PEFT puts it on the model that Transformers loads: the
log-probabilities of a text are those of `pupil logprobs` with either directory. Prints a
table. Exits with 77, which ctest shows as skipped, where peft (and so torch, which
scripts/setup_peers.sh does not install for its size) is missing.
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tiny_adapter import put_words, trained

try:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
except ImportError as missing:
    print(f"skipped: {missing}; to run it: pip install torch peft transformers, and name that "
          "Python by PUPIL_MLX_LM_PYTHON")
    sys.exit(77)

FAMILIES = ["llama", "qwen2", "phi3"]
KINDS = {"lora": {}, "rslora": {"use_rslora": True, "scale": 1.5}, "dora": {"fine_tune_type": "dora"},
         "some": {"num_layers": 1, "keys": "self_attn.o_proj,mlp.down_proj"}}
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3]
TOLERANCE = 1e-4  # nats, float32 in another order


def run(pupil, *arguments, text=""):
    return subprocess.run([pupil, *map(str, arguments)], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=True).stdout


def ours(pupil, model_dir, *adapter):
    line = json.dumps({"input_ids": TOKENS}) + "\n"
    return json.loads(run(pupil, "logprobs", "--model", model_dir, *adapter, text=line))["logprobs"]


def theirs(golden, adapter):
    model = AutoModelForCausalLM.from_pretrained(
        golden, dtype=torch.float32, attn_implementation="eager")
    model = PeftModel.from_pretrained(model, str(adapter)).eval()
    with torch.no_grad():
        logprobs = torch.log_softmax(model(input_ids=torch.tensor([TOKENS])).logits[0], -1)
    return [logprobs[i, token].item() for i, token in enumerate(TOKENS[1:])]


def difference(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def model_of(pupil, golden, folder):
    """The converted model of a family."""
    source = folder / "source"
    source.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(golden / name, source)
    put_words(source, json.loads((golden / "config.json").read_text())["vocab_size"])
    run(pupil, "convert", "--from", source, "--to", folder / "model")
    return folder / "model"


def check(pupil, golden, model, folder, kind):
    """PEFT's difference from ours, and ours with PEFT's layout from ours with mlx-lm's."""
    adapter = trained(pupil, model, folder / kind, **KINDS[kind])
    peft = folder / kind / "peft"
    run(pupil, "adapter", "--from", adapter, "--to", peft, "--base-model", "tiny/" + golden.name)
    mine = ours(pupil, model, "--adapter", adapter)
    if difference(mine, ours(pupil, model)) < 0.01:  # nothing would be shown
        return float("inf"), float("inf")
    return difference(mine, theirs(golden, peft)), difference(mine, ours(pupil, model, "--adapter", peft))


def main(pupil, golden_dir):
    failed = False
    print(f"{'nats':16}{'PEFT':>10}{'layouts':>10}")
    for family in FAMILIES:
        golden = Path(golden_dir) / family
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model = model_of(pupil, golden, folder)
            for kind in KINDS:
                far, layouts = check(pupil, golden, model, folder, kind)
                good = far < TOLERANCE and layouts == 0
                failed |= not good
                print(f"{family + ' ' + kind:16}{far:10.1e}{layouts:10.1e}{'' if good else '  DIFFERS'}",
                      flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
