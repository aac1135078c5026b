#!/usr/bin/env python3
"""mlx-lm loads what we write, and says the same.

    mlx_lm_parity.py PUPIL MODEL_DIR [ADAPTER_DIR]

Greedy text of 32 tokens on 5 prompts, by mlx_lm and by `pupil generate`, must be equal
up to the first position where mlx_lm's two best tokens are closer than NEAR_TIE nats
(mlx-lm works in float16 there, we in float32). Prints a table. Exits with 77, which
ctest shows as skipped, where mlx_lm is not installed.
"""
import json
import subprocess
import sys

PROMPTS = [
    "Write a Python function `add(a, b)` that returns the sum of two numbers.",
    "Write a Python function that reverses a string.",
    "What is the capital of France?",
    "Write a Python function `is_even(n)`.",
    "Explain what a list is, in one sentence.",
]
TOKENS = 32
NEAR_TIE = 0.05

try:
    import mlx.core as mx
    from mlx_lm import load, stream_generate
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


def compare(mine, reference):
    """Positions that agree, the margin at the first that does not, and the verdict."""
    for i, (token, margin) in enumerate(reference):
        if i >= len(mine) or mine[i] != token:
            return i, margin, margin < NEAR_TIE
    return len(reference), None, True


def main(pupil, model_dir, adapter_dir=None):
    mx.set_default_device(mx.cpu)
    model, tokenizer = load(model_dir, adapter_path=adapter_dir)
    failed = False
    for prompt, mine in zip(PROMPTS, ours(pupil, model_dir, adapter_dir)):
        same, margin, good = compare(mine, theirs(model, tokenizer, prompt))
        end = "equal to the end" if margin is None else f"then a margin of {margin:.3f} nats"
        print(f"{'ok' if good else 'DIFFERS':8}{same:3} tokens equal, {end}: {prompt}", flush=True)
        failed |= not good
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
