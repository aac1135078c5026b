#!/usr/bin/env python3
"""Trains TRL's GRPO with PEFT on Pupil's tasks with the demo's settings, to compare.

    trl_on_tasks.py --model HF_DIR --tokenizer DIR --tasks data/tasks/train.jsonl --out DIR

HF_DIR holds the student's weights in float32; DIR its tokenizer (Pupil's model directory
will do). OUT becomes a PEFT adapter, which `pupil train --model.adapter_path=OUT`
evaluates as it evaluates its own. The reward is the share of tests passed, plus 0.2 for a
closed fenced block; the programs run as subprocesses with a time limit and no sandbox.
Prints a line a step. Needs: torch transformers trl peft datasets.
"""
import argparse
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

FENCE = re.compile(r"```(?:python|py|python3)?\s*\n(.*?)(```|\Z)", re.S)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "tokenizer", "tasks", "out"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def passes(code, test):
    """Whether `test` holds after `code`, in a process of its own."""
    try:
        run = subprocess.run(
            [sys.executable, "-I", "-c", code + "\n" + test],
            capture_output=True, timeout=5, stdin=subprocess.DEVNULL)
    except (subprocess.TimeoutExpired, ValueError):
        return False
    return run.returncode == 0


def share_passed(answer, tests):
    block = FENCE.search(answer)
    code = block.group(1) if block else answer
    try:
        compile(code, "answer", "exec")
    except (SyntaxError, ValueError):
        return 0.0
    return sum(passes(code, test) for test in tests) / len(tests)


def reward(completions, tests, **_):
    answers = [completion[0]["content"] for completion in completions]
    with ThreadPoolExecutor(2) as pool:
        shares = list(pool.map(share_passed, answers, tests))
    fenced = [bool(m and m.group(2)) for m in map(FENCE.search, answers)]
    return [share + 0.2 * closed for share, closed in zip(shares, fenced)]


def dataset_of(path):
    from datasets import Dataset
    rows = [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]
    return Dataset.from_list([
        {"prompt": [{"role": "user", "content": row["prompt"]}], "tests": row["tests"]}
        for row in rows])


def trainer_of(args):
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    config = GRPOConfig(
        output_dir=args.out, per_device_train_batch_size=8, num_generations=8,
        gradient_accumulation_steps=4, max_completion_length=args.max_tokens, beta=0.0,
        temperature=1.0, learning_rate=args.lr, lr_scheduler_type="constant",
        max_steps=args.steps, use_cpu=True, bf16=False, gradient_checkpointing=False,
        logging_steps=1, save_strategy="no", report_to=[], seed=args.seed)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", lora_dropout=0.0,
                      task_type="CAUSAL_LM")
    return GRPOTrainer(
        model=model, reward_funcs=reward, args=config, train_dataset=dataset_of(args.tasks),
        processing_class=AutoTokenizer.from_pretrained(args.tokenizer), peft_config=lora)


def main():
    args = parse_arguments()
    trainer = trainer_of(args)
    start = time.time()
    trainer.train()
    trainer.model.save_pretrained(args.out)
    print(json.dumps({"steps": args.steps, "seconds": round(time.time() - start, 1)}))


if __name__ == "__main__":
    main()
