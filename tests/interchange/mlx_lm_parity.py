#!/usr/bin/env python3
"""mlx-lm loads what we write, and says the same.

    mlx_lm_parity.py PUPIL STUDENT.gguf [ADAPTER_DIR]

Converts the student, trains an adapter for two quick steps where none is given, and
compares the greedy text of 32 tokens on 5 prompts by mlx_lm and by `pupil generate`, with
and without the adapter. They must be equal up to the first position where mlx_lm's two
best tokens are closer than NEAR_TIE nats. mlx_lm computes in float32 on the unpacked
weights, as we do: in float16 its own error decides margins of a fifth of a nat, and on
the packed ones it takes seconds a token on a CPU.
Prints a table. Exits with 77, which ctest shows as skipped, where mlx_lm or the student
is missing.
"""
import json
import os
import subprocess
import sys
import tempfile

from student_prompts import PROMPTS, TOKENS, compare, train

NEAR_TIE = 0.05

try:
    import mlx.core as mx
    from mlx_lm import load, stream_generate
    from mlx_lm.utils import dequantize_model
except ImportError as missing:
    print(f"skipped: {missing}; to run it: pip install mlx-lm")
    sys.exit(77)


def theirs(model, tokenizer, prompt):
    """[(token, margin of the two best in nats)] of mlx_lm's greedy completion."""
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True)
    tokens = []
    for step in stream_generate(model, tokenizer, ids, max_tokens=TOKENS):
        best = mx.sort(step.logprobs)[-2:]
        tokens.append((step.token, (best[1] - best[0]).item()))
    return tokens


def ours(pupil, model_dir, adapter_dir):
    """The ids of `pupil generate` for every prompt."""
    command = [pupil, "generate", "--model", model_dir, "--json", "--prompts",
               "/dev/stdin", "--max-tokens", str(TOKENS)]
    if adapter_dir:
        command += ["--adapter", adapter_dir]
    lines = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS)
    out = subprocess.run(
        command, input=lines, capture_output=True, text=True, check=True).stdout
    return [json.loads(line)["ids"] for line in out.splitlines()]


def convert(pupil, gguf, folder):
    model_dir = os.path.join(folder, "model")
    subprocess.run([pupil, "convert", "--from", gguf, "--to", model_dir],
                   check=True, stdout=subprocess.DEVNULL)
    return model_dir


def check(pupil, model_dir, adapter_dir):
    """Whether every prompt's text agrees; prints a line for each."""
    model, tokenizer = load(model_dir, adapter_path=adapter_dir)
    model.set_dtype(mx.float32)
    model = dequantize_model(model)
    failed = False
    print("with the adapter" if adapter_dir else "without an adapter", flush=True)
    for prompt, mine in zip(PROMPTS, ours(pupil, model_dir, adapter_dir)):
        same, margin, good = compare(mine, theirs(model, tokenizer, prompt), NEAR_TIE)
        end = "equal to the end" if margin is None else f"then a margin of {margin:.3f} nats"
        print(f"  {'ok' if good else 'DIFFERS':8}{same:3} tokens equal, {end}: {prompt}", flush=True)
        failed |= not good
    return not failed


def main(pupil, gguf, adapter_dir=None):
    if not os.path.exists(gguf):
        print(f"skipped: {gguf} is missing; scripts/fetch_student.sh fetches it")
        return 77
    mx.set_default_device(mx.cpu)
    with tempfile.TemporaryDirectory() as folder:
        model_dir = convert(pupil, gguf, folder)
        adapter_dir = adapter_dir or train(pupil, model_dir, folder)
        return not all([check(pupil, model_dir, None), check(pupil, model_dir, adapter_dir)])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
