#!/usr/bin/env python3
"""The student answers HumanEval's kind of tasks as mlx-lm has it answer, and its answers pass
where a plain grader passes them.

    human_eval.py PUPIL STUDENT.gguf

`pupil eval` asks the student the tasks of tests/golden/human_eval, greedily. Each answer must
be mlx_lm's, up to the first position where mlx_lm's two best tokens are closer than NEAR_TIE
nats (in float32 on the unpacked weights: mlx_lm_parity.py says why), and its verdict that of
tools/reference_grader.py. Prints a table, and the narrowest margin at which the two still
agreed. Takes some minutes, mlx_lm's. Exits with 77, which ctest shows as skipped, where mlx_lm
or the student is missing.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from reference_grader import passes, read_lines  # noqa: E402

try:
    import mlx.core as mx
    from mlx_lm import load, stream_generate
    from mlx_lm.utils import dequantize_model
except ImportError as missing:
    print(f"skipped: {missing}; to run it: pip install mlx-lm")
    sys.exit(77)

TASKS = ROOT / "tests/golden/human_eval/tasks.jsonl"
NEAR_TIE = 0.05
LONGEST = 128  # tokens of an answer


def ours(pupil, gguf, folder):
    """(the model's directory, the lines of samples.jsonl)."""
    model_dir, out = folder / "model", folder / "eval"
    subprocess.run([pupil, "convert", "--from", gguf, "--to", model_dir],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([pupil, "eval", "--model", model_dir, "--tasks", TASKS, "--out", out,
                    "--max-tokens", str(LONGEST), "--reward.functions=[{name: tests}]"],
                   check=True, stdout=subprocess.DEVNULL)
    return model_dir, read_lines(out / "samples.jsonl")


def prompt_of(task):
    """docs/evaluation.md"""
    head = task["prompt"] + ("" if task["prompt"].endswith("\n") else "\n")
    return ("Complete this Python function. Answer with the whole function.\n\n"
            f"```python\n{head}```")


def theirs(model, tokenizer, prompt):
    """[(token, margin of the two best in nats)] of mlx_lm's greedy completion."""
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True)
    tokens = []
    for step in stream_generate(model, tokenizer, ids, max_tokens=LONGEST):
        best = mx.sort(step.logprobs)[-2:]
        tokens.append((step.token, (best[1] - best[0]).item()))
    return tokens


def compare(text, reference, tokenizer):
    """Tokens whose text is the beginning of `text`, the margin at the first that is not, and
    the verdict. The end of a text is a token, too."""
    ids = []
    for i, (token, margin) in enumerate(reference):
        ends = token in tokenizer.eos_token_ids
        ids += [] if ends else [token]
        beginning = tokenizer.decode(ids).rstrip("\ufffd")  # a character may take two tokens
        if not (text == beginning if ends else text.startswith(beginning)):
            return i, margin, margin < NEAR_TIE
    return len(reference), None, text == tokenizer.decode(ids)


def main(pupil, gguf):
    if not os.path.exists(gguf):
        print(f"skipped: {gguf} is missing; scripts/fetch_student.sh fetches it")
        return 77
    mx.set_default_device(mx.cpu)
    tasks = {task["task_id"]: task for task in read_lines(TASKS)}
    with tempfile.TemporaryDirectory() as folder:
        model_dir, answers = ours(pupil, gguf, Path(folder))
        model, tokenizer = load(str(model_dir))
    model.set_dtype(mx.float32)
    model = dequantize_model(model)
    failed, verdicts, to_the_end, margins = len(answers) != len(tasks), [], 0, []
    for answer in answers:
        task = tasks[answer["id"]]
        reference = theirs(model, tokenizer, prompt_of(task))
        same, margin, agrees = compare(answer["completion"], reference, tokenizer)
        to_the_end += agrees and margin is None
        margins += [m for _, m in reference[:same]]
        verdicts.append(answer["scores"]["tests"] == 1)
        good = agrees and verdicts[-1] == passes(task, answer["completion"], timeout_s=60)
        end = "equal to the end" if margin is None else f"then a margin of {margin:.3f} nats"
        print(f"  {'ok' if good else 'DIFFERS':8}{same:4} tokens equal, {end}; "
              f"{'passes' if verdicts[-1] else 'fails'}: {answer['id']}", flush=True)
        failed |= not good
    print(f"{to_the_end} of {len(tasks)} answers equal to the end, {sum(verdicts)} pass; "
          f"{len(margins)} tokens equal at margins down to {min(margins):.4f} nats; "
          f"a difference may have one below {NEAR_TIE}")
    if len(set(verdicts)) < 2:
        print("all verdicts are alike: that shows nothing")
        failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
