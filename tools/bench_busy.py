#!/usr/bin/env python3
"""How much slower the program is beside other processes that keep every core busy.

    tools/bench_busy.py --model MLX_DIR [--rounds 3] [--others N]

Each round runs `pupil bench` alone and then beside N processes that do nothing but spin,
at the same priority; N is the number of cores. Medians over the rounds. With as many
spinning threads as ours, a fair share of the processor makes everything 2 times slower.
Stop all else first.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PUPIL = Path(__file__).resolve().parent.parent / "build/release/pupil"
# title: seconds of the work, out of the report of `pupil bench`
FIGURES = {
    "prefill, 512 tokens": lambda report: 512 / report["prefill_tok_s"],
    "decode, 1 row, a token": lambda report: 1 / report["decode_tok_s"]["1"],
    "decode, 8 rows, a token": lambda report: 1 / report["decode_tok_s"]["8"],
    "policy step": lambda report: report["grpo_step"]["seconds"],
    "  its generation": lambda report: report["grpo_step"]["generation_s"],
    "  its update": lambda report: report["grpo_step"]["update_s"],
    "supervised step": lambda report: report["sft_step"]["seconds"],
}


@contextlib.contextmanager
def busy_processes(count):
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
                for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def bench(model, title):
    """The report of `pupil bench`, each work once after one to warm up."""
    print(title, end=": ", file=sys.stderr, flush=True)
    run = subprocess.run([PUPIL, "bench", "--model", model, "--runs", "1", "--json"],
                         capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"pupil bench failed:\n{run.stderr[-2000:]}")
    result = json.loads(run.stdout)
    figures = [f"{name.strip()} {seconds(result):.3g} s" for name, seconds in FIGURES.items()]
    print("; ".join(figures), file=sys.stderr, flush=True)
    return result


def report(alone, busy, others):
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, {others} other processes, {len(alone)} rounds, medians\n")
    print("| work | alone, s | beside them, s | times slower |\n|---|---|---|---|")
    for title, seconds in FIGURES.items():
        before = statistics.median(map(seconds, alone))
        after = statistics.median(map(seconds, busy))
        print(f"| {title} | {before:.4g} | {after:.4g} | {after / before:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--others", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    alone, busy = [], []
    for number in range(options.rounds):
        title = f"round {number + 1} of {options.rounds}"
        alone.append(bench(options.model, title + ", alone"))
        with busy_processes(options.others):
            busy.append(bench(options.model, title + ", beside others"))
    report(alone, busy, options.others)


if __name__ == "__main__":
    main()
