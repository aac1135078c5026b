#!/usr/bin/env python3
"""TensorBoard's own reader reads our event files.

    tensorboard_events.py PUPIL STUDENT.gguf

Trains the student for a few quick steps, loses the newest checkpoint, goes on from the one
before, and compares what event_accumulator finds with the run's metrics.jsonl and
rollouts.jsonl: every number of every row under its name and once, the histograms of rewards
and ratios, and the completions as text. Exits with 77, which ctest
shows as skipped, where tensorboard or the student is missing.
"""
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as missing:
    print(f"skipped: {missing}; to run it: pip install tensorboard")
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STEPS = 3


def train(pupil, student, folder):
    model, run = os.path.join(folder, "model"), os.path.join(folder, "run")
    subprocess.run([pupil, "convert", "--from", student, "--to", model], check=True)
    settings = {
        "hardware.mlx_model_path": model,
        "data.train": os.path.join(ROOT, "data/tasks/train.jsonl"),
        "data.eval": os.path.join(ROOT, "data/tasks/heldout.jsonl"),
        "data.limit": 2,
        "rollout.num_generations": 6,
        "rollout.max_completion_length": 48,
        "reward.functions": "[{name: tests}, {name: format}, {name: rubric}]",
        "train.max_steps": STEPS,
        "train.prompts_per_step": 2,
        "train.eval_steps": 1,
        "train.eval_samples": 2,
        "train.save_steps": 1,
        "logging.run_dir": run,
    }
    options = [f"--{key}={value}" for key, value in settings.items()]
    config = os.path.join(folder, "config.yaml")
    subprocess.run([pupil, "init", config], check=True)
    subprocess.run([pupil, "train", "-c", config, *options], check=True)
    shutil.rmtree(os.path.join(run, "checkpoints", f"step-{STEPS:06}"))
    subprocess.run([pupil, "train", "--resume", run], check=True)
    return run


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_scalars(events, rows):
    """Every number of every row, as float32, at its step; nothing else."""
    expected = {}
    for row in rows:
        for name, value in row.items():
            if name != "step" and is_number(value):
                expected.setdefault(name, []).append((row["step"], value))
    assert set(events.Tags()["scalars"]) == set(expected)
    count = 0
    for name, points in expected.items():
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in points], name
        for (_, ours), (_, theirs) in zip(points, found):
            assert math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-30), (name, ours)
            count += 1
    return count


def check_histogram(events, name, values):
    """`values`: of each step, the numbers, or their count where they are not known."""
    found = {event.step: event.histogram_value for event in events.Histograms(name)}
    for step, numbers in values.items():
        if not numbers:
            assert step not in found, (name, step)
            continue
        histogram = found[step]
        assert histogram.num == sum(histogram.bucket) > 0
        if isinstance(numbers, list):
            assert histogram.num == len(numbers)
            assert math.isclose(histogram.sum, sum(numbers), abs_tol=1e-9)
            assert math.isclose(histogram.min, min(numbers), abs_tol=1e-9)
            assert math.isclose(histogram.max, max(numbers), abs_tol=1e-9)
            for limit, upto in zip(histogram.bucket_limit, cumulated(histogram.bucket)):
                below = sum(x < limit - 1e-9 for x in numbers)
                at_most = sum(x <= limit + 1e-9 for x in numbers)
                assert below <= upto <= at_most, (name, step, limit)
    return len(found)


def cumulated(counts):
    total = 0
    for count in counts:
        total += count
        yield total


def check_completions(events, rollouts):
    """The best completion of each step is in its text."""
    found = {event.step: event.tensor_proto for event in events.Tensors("completions")}
    for step, tensor in found.items():
        text = tensor.string_val[0].decode()
        rows = [r for r in rollouts if r["step"] == step and r["reward"] is not None]
        best = max(rows, key=lambda row: row["reward"])
        assert best["completion"] in text and best["prompt"] in text
    plugin = events.SummaryMetadata("completions").plugin_data.plugin_name
    assert plugin == "text", plugin
    return len(found)


def main(pupil, student):
    with tempfile.TemporaryDirectory() as folder:
        run = train(pupil, student, folder)
        rows = rows_of(os.path.join(run, "metrics.jsonl"))
        rollouts = rows_of(os.path.join(run, "rollouts.jsonl"))
        events = EventAccumulator(
            os.path.join(run, "tensorboard"), size_guidance={"scalars": 0, "tensors": 0,
                                                             "histograms": 0})
        events.Reload()
        steps = [row["step"] for row in rows if "reward" in row]
        rewards = {step: [r["reward"] for r in rollouts
                          if r["step"] == step and r["reward"] is not None]
                   for step in steps}
        trained = {row["step"]: not row["skipped"] for row in rows if "reward" in row}
        print(check_scalars(events, rows), "scalars under",
              len(events.Tags()["scalars"]), "names")
        print(check_histogram(events, "histograms/reward", rewards), "reward histograms")
        print(check_histogram(events, "histograms/ratio", trained), "ratio histograms")
        print(check_completions(events, rollouts), "texts")
        assert any("eval_pass@2" in row for row in rows)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if not os.path.exists(sys.argv[2]):
        print(f"skipped: no {sys.argv[2]}; `make demo` fetches it")
        sys.exit(77)
    main(*sys.argv[1:])
