#!/usr/bin/env python3
"""What sampling in a worker process costs a run, beside sampling in the trainer's own.

    tools/worker_cost.py PUPIL [--rounds 3] [--steps 3] [--section.key=value ...]

Each round trains the demo without its evaluations, first with one value of rollout.backend
and then with the other; every other round begins with the other one. Both take the same
steps, so their adapters must be the same bytes. Prints the processor time of the processes
and the seconds of each step, of which the first contains the worker's start, and what the
worker itself reports. Stop all else first.
"""
import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = ["in_process", "worker"]


def processor_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def train(pupil, backend, steps, overrides, folder):
    """One run: {"cpu": seconds, "steps": [seconds], "adapter": hash, "worker": its line}."""
    run, before = Path(folder, "run"), processor_s()
    subprocess.run(
        [pupil, "train", "-c", "configs/demo.yaml", "--data.eval=null", "--teacher.cache=null",
         f"--train.max_steps={steps}", f"--rollout.backend={backend}",
         f"--logging.run_dir={run}", *overrides],
        cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    adapter = (run / "adapters/adapters.safetensors").read_bytes()
    said = [line.split(" info ")[1] for line in (run / "log.txt").read_text().splitlines()
            if " info worker: " in line]
    return {"cpu": processor_s() - before, "adapter": hashlib.sha256(adapter).hexdigest(),
            "steps": [json.loads(line)["step_time"] for line in lines], "worker": said}


def one_round(pupil, order, steps, overrides):
    runs = {}
    for backend in order:
        with tempfile.TemporaryDirectory() as folder:
            runs[backend] = train(pupil, backend, steps, overrides, folder)
        run = runs[backend]
        times = ", ".join(f"{seconds:.2f}" for seconds in run["steps"])
        print(f"{backend:11} cpu {run['cpu']:.1f} s, steps {times} s", *run["worker"], flush=True)
    if len({run["adapter"] for run in runs.values()}) != 1:
        sys.exit("the two adapters differ")
    return runs


def report(rounds):
    figures = {"processor time of a run": lambda run: run["cpu"]}
    for step in range(len(rounds[0]["worker"]["steps"])):
        figures[f"step {step + 1}"] = lambda run, step=step: run["steps"][step]
    print(f"\n{'medians, s (least to most)':32}{'in_process':30}worker")
    for name, of in figures.items():
        columns, medians = [], []
        for backend in BACKENDS:
            seconds = [of(runs[backend]) for runs in rounds]
            medians.append(statistics.median(seconds))
            columns.append(f"{medians[-1]:.2f} ({min(seconds):.2f} to {max(seconds):.2f})")
        print(f"{name:32}{columns[0]:30}{columns[1]:30}"
              f"{100 * (medians[1] / medians[0] - 1):+.1f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pupil")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    options, overrides = parser.parse_known_args()
    report([one_round(Path(options.pupil).resolve(), BACKENDS[::1 - 2 * (i % 2)], options.steps,
                      overrides)
            for i in range(options.rounds)])


if __name__ == "__main__":
    main()
