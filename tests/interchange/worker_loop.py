#!/usr/bin/env python3
"""A loop of one's own around both workers learns.

    worker_loop.py PUPIL STUDENT.gguf

Converts the student, runs examples/worker_grpo.py with it and compares the mean reward of the
last four steps with that of the first four. Every line of a short talk is checked against
docs/worker_protocol.schema.json. Exits with 77, which ctest shows as skipped, without the
student or jsonschema.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError as missing:
    print(f"skipped: {missing}; to run it: pip install jsonschema")
    sys.exit(77)

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


def expect_learning(pupil, model):
    out = subprocess.run(
        [sys.executable, ROOT / "examples/worker_grpo.py", "--pupil", pupil, "--model", model],
        capture_output=True, text=True, check=True).stdout
    print(out)
    rewards = [float(x) for x in re.findall(r"reward ([0-9.]+)", out)]
    first, last = sum(rewards[:4]) / 4, sum(rewards[-4:]) / 4
    print(f"the first four steps: {first:.3f}, the last four: {last:.3f}")
    return 0 if last > first + 0.05 else 1


def main(pupil, student):
    if not pathlib.Path(student).exists():
        print(f"skipped: {student} is missing; scripts/fetch_student.sh fetches it")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder, "model")
        subprocess.run([pupil, "convert", "--from", student, "--to", model], check=True,
                       stdout=subprocess.DEVNULL)
        expect_schema(pupil, model)
        return expect_learning(pupil, model)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
