#!/usr/bin/env python3
"""Runs `pupil bench` and installed peers alternately and prints the ratios.

    tools/compare_peers.py --model MLX_DIR|--shape NAME [--llama BIN_DIR --gguf FILE ...]
                           [--torch PYTHON --hf HF_DIR] [--rounds 3]
    tools/compare_peers.py --only-step --model MLX_DIR --torch PYTHON --hf HF_DIR
                           [--prompt-tokens 116] [--new-tokens 64] [--gradient-checkpointing on|off]

BIN_DIR holds llama.cpp's llama-bench, llama-batched-bench and llama-completion, FILE the same student as
GGUF. PYTHON is the interpreter of an environment with torch, transformers, peft and trl,
HF_DIR the student in float32 as a Hugging Face folder. --shape takes random weights of
a shape that `pupil bench` knows; the peers' files then are of that shape, too. Each round runs every program
once, one after the other, with 2 threads; medians over the rounds. --only-step compares the policy
step alone, of 8 completions and of any length. Stop all else first.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUPIL = Path(os.environ.get("PUPIL", ROOT / "build/release/pupil"))
# figure: (title, unit, more is better)
FIGURES = {
    "prefill": ("prefill, 512 tokens", "tok/s", True),
    "decode_1": ("decode, 1 row", "tok/s", True),
    "decode_8": ("decode, 8 rows", "tok/s", True),
    "first_token": ("start to first token", "s", False),
    "grpo": ("policy step", "s", False),
    "update": ("  its update", "s", False),
    "grpo_mb": ("  peak memory", "MB", False),
    "first_step": ("start to first step's end", "s", False),
    "sft": ("supervised step", "s", False),
    "sft_mb": ("  peak memory", "MB", False),
}


def output_of(command, **kwargs):
    run = subprocess.run(command, capture_output=True, text=True, **kwargs)
    if run.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{run.stderr[-2000:]}")
    return run.stdout


def student_of(options):
    return ["--model", options.model] if options.model else ["--shape", options.shape]


def sizes_of(options):
    """The policy step's, as `pupil bench` and torch_steps.py both take them."""
    return ["--prompt-tokens", str(options.prompt_tokens), "--new-tokens", str(options.new_tokens),
            "--gradient-checkpointing", options.gradient_checkpointing]


def ours(options):
    only_step = ["--only-step"] if options.only_step else []
    text = output_of([
        PUPIL, "bench", *student_of(options), *only_step, *sizes_of(options), "--runs", "1",
        "--threads", str(options.threads), "--json"])
    b = json.loads(text)
    step = {
        "grpo": b["grpo_step"]["seconds"],
        "update": b["grpo_step"]["update_s"],
        "grpo_mb": b["grpo_step"]["peak_mb"],
    }
    if options.only_step:
        return step
    return step | {
        "prefill": b["prefill_tok_s"],
        "decode_1": b["decode_tok_s"]["1"],
        "decode_8": b["decode_tok_s"]["8"],
        "first_token": b["start_to_first_token_s"],
        "first_step": b["start_to_first_step_s"],
        "sft": b["sft_step"]["seconds"],
        "sft_mb": b["sft_step"]["peak_mb"],
    }


def llama(options, gguf):
    env = dict(os.environ, LD_LIBRARY_PATH=options.llama)
    common = ["-m", gguf, "-t", str(options.threads)]
    prefill = json.loads(output_of(
        [options.llama + "/llama-bench", *common, "-p", "512", "-n", "0", "-r", "1",
         "-o", "json"], env=env))
    lines = output_of(
        [options.llama + "/llama-batched-bench", *common, "-c", "4096", "-npp", "64",
         "-ntg", "64", "-npl", "1,8", "--output-format", "jsonl"], env=env)
    decode = {r["pl"]: r["speed_tg"]
              for r in map(json.loads, (x for x in lines.splitlines() if x[:1] == "{"))}
    return {"prefill": prefill[0]["avg_ts"], "decode_1": decode[1], "decode_8": decode[8],
            "first_token": first_token_of_llama(options, common, env)}


def first_token_of_llama(options, common, env):
    """Seconds of a process that answers one prompt of 64 words with one token."""
    start = time.monotonic()
    output_of(
        [options.llama + "/llama-completion", *common, "-c", "256", "-n", "1", "-no-cnv",
         "--temp", "0", "-p", "word " * 64], env=env, stdin=subprocess.DEVNULL)
    return time.monotonic() - start


def torch(options):
    def steps(work, *sizes):
        text = output_of([
            options.torch, ROOT / "tools/peers/torch_steps.py", work, "--model", options.hf,
            "--threads", str(options.threads), "--steps", str(options.steps), *sizes])
        return json.loads(text.splitlines()[-1])

    grpo = steps("grpo", *sizes_of(options))
    step = {"grpo": grpo["seconds"], "update": grpo["update_s"], "grpo_mb": grpo["peak_mb"]}
    if options.only_step:
        return step
    sft = steps("sft")
    return step | {"first_step": grpo["start_to_first_step_s"], "sft": sft["seconds"],
                   "sft_mb": sft["peak_mb"]}


def programs(options):
    yield "Pupil", lambda: ours(options)
    for gguf in options.gguf:
        yield "llama.cpp " + Path(gguf).stem, lambda gguf=gguf: llama(options, gguf)
    if options.torch:
        yield "PyTorch, PEFT, TRL", lambda: torch(options)


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown CPU"


def report(figures, options):
    print(f"\n{cpu_name()}, {options.threads} threads, {options.rounds} rounds, medians")
    for name, values in figures.items():
        if name == "Pupil":
            continue
        print(f"\n| beside {name} | peer | Pupil | Pupil is better by |\n|---|---|---|---|")
        for key in (k for k in FIGURES if k in values):
            title, unit, more = FIGURES[key]
            peer = statistics.median(values[key])
            mine = statistics.median(figures["Pupil"][key])
            ratio = mine / peer if more else peer / mine
            print(f"| {title} | {peer:.4g} {unit} | {mine:.4g} {unit} | {ratio:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    student = parser.add_mutually_exclusive_group(required=True)
    student.add_argument("--model")
    student.add_argument("--shape")
    parser.add_argument("--llama")
    parser.add_argument("--gguf", action="append", default=[])
    parser.add_argument("--torch")
    parser.add_argument("--hf")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only-step", action="store_true")
    parser.add_argument("--prompt-tokens", type=int, default=116)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--gradient-checkpointing", choices=["on", "off"], default="off")
    parser.add_argument("--steps", type=int, default=4, help="of PyTorch; the first of several warms up")
    options = parser.parse_args()
    if bool(options.llama) != bool(options.gguf):
        parser.error("--llama and --gguf go together")
    if bool(options.torch) != bool(options.hf):
        parser.error("--torch and --hf go together")
    if options.gradient_checkpointing == "on" and not options.only_step:
        parser.error("--gradient-checkpointing on goes with --only-step")
    if options.only_step and (options.gguf or not options.torch):
        parser.error("--only-step compares with --torch alone")
    if not PUPIL.exists():
        parser.error(f"{PUPIL} is missing: run make build first")
    figures = defaultdict(lambda: defaultdict(list))
    for round_number in range(options.rounds):
        for name, run in programs(options):
            print(f"round {round_number + 1}: {name}", file=sys.stderr, flush=True)
            for key, value in run().items():
                figures[name][key].append(value)
    report(figures, options)


if __name__ == "__main__":
    main()
