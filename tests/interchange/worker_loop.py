#!/usr/bin/env python3
"""A loop of one's own around both workers learns.

    worker_loop.py PUPIL MODEL

Runs examples/worker_grpo.py and compares the mean reward of the last four steps with that of
the first four. Every line of a short talk is checked against docs/worker_protocol.schema.json
where jsonschema is installed. Exits with 77, which ctest shows as skipped, without the model.
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TALK = [
    {"op": "ping", "id": "a"},
    {"op": "generate", "id": 1, "prompt": "def add(a, b):", "n": 2, "max_tokens": 4},
    {"op": "generate", "id": 2, "prompts": [{"prompt": "x"}, {"input_ids": [5, 6]}], "max_tokens": 2},
    {"op": "generate", "id": 3, "input_ids": [5], "max_tokens": 60, "progress_s": 0.01},
    {"op": "generate", "id": 4, "n": 0, "prompt": "x"},
    {"op": "generate", "id": 6, "prompts": [{"prompt": "x"}], "keys": [7], "n": 2, "max_tokens": 3,
     "stream": True},
    {"op": "fingerprint", "id": 7},
    {"op": "nothing"},
    {"op": "load_adapters", "path": None},
    {"op": "shutdown", "id": 5},
]
STEP = {"op": "train_step", "id": 1, "samples": [
    {"input_ids": [5, 6, 7, 8], "prompt_length": 2, "advantage": 1.0}]}


def expect_schema(pupil, model):
    try:
        import jsonschema
    except ImportError:
        print("the schema was not looked at: pip install jsonschema")
        return
    schema = json.loads((ROOT / "docs/worker_protocol.schema.json").read_text())
    check = jsonschema.Draft202012Validator(schema).validate
    check(STEP)
    count = 0
    for kind, talk in (("generate", TALK), ("train", [STEP])):
        lines = "".join(json.dumps(request) + "\n" for request in talk)
        out = subprocess.run([pupil, "worker", kind, "--model", model], input=lines,
                             capture_output=True, text=True, check=True).stdout
        for line in out.splitlines():
            check(json.loads(line))
            count += 1
    print(f"{count} messages are as the schema says")


def main():
    pupil, model = sys.argv[1:]
    if not pathlib.Path(model, "config.json").exists():
        print(f"skipped: there is no model in {model}")
        sys.exit(77)
    expect_schema(pupil, model)
    out = subprocess.run(
        [sys.executable, ROOT / "examples/worker_grpo.py", "--pupil", pupil, "--model", model],
        capture_output=True, text=True, check=True).stdout
    print(out)
    rewards = [float(x) for x in re.findall(r"reward ([0-9.]+)", out)]
    first, last = sum(rewards[:4]) / 4, sum(rewards[-4:]) / 4
    print(f"the first four steps: {first:.3f}, the last four: {last:.3f}")
    sys.exit(0 if last > first + 0.05 else 1)


if __name__ == "__main__":
    main()
