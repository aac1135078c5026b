#!/usr/bin/env python3
"""Times a training step of PyTorch with PEFT (sft) or TRL (grpo) as `pupil bench` times ours.

    torch_steps.py sft|grpo --model HF_DIR [--threads 2] [--steps 4]
                   [--prompt-tokens 116] [--new-tokens 64] [--gradient-checkpointing on|off]

sft: AdamW over LoRA of rank 16 on all linears, 8 rows of 160 tokens. grpo: 8 completions of
--new-tokens tokens, sampled, to one prompt of --prompt-tokens, without a chat template; TRL's own
default is to compute blocks again (on). float32. Prints one JSON object; the first of several steps
warms up, the memory is the process's peak in MB of 10^6 bytes. Needs: torch transformers peft,
and for grpo trl datasets.
"""
import time

STARTED = time.time()

import argparse
import json
import resource
import statistics
import tempfile

TEXT = (
    "Reinforcement learning from feedback trains a language model with a judge. The model "
    "writes a group of answers to each prompt, each answer gets a score, and its advantage "
    "is the score less the group's mean. ")


def adapter():
    from peft import LoraConfig
    return LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")


def load(path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(path)


def median_of_warm(seconds):
    return statistics.median(seconds[1:] or seconds)


def supervised(options):
    import torch
    from peft import get_peft_model
    model, tokenizer = load(options.model)
    model = get_peft_model(model, adapter()).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    ids = tokenizer(TEXT * 8, add_special_tokens=False)["input_ids"]
    rows = torch.tensor([ids[i:i + 160] for i in range(8)])
    seconds = []
    for _ in range(options.steps):
        begin = time.time()
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.time() - begin)
        if len(seconds) == 1:
            first = time.time() - STARTED
    return {"seconds": median_of_warm(seconds), "start_to_first_step_s": first}


def prompt_of(tokenizer, count):
    """A text of `count` tokens."""
    ids = tokenizer(TEXT * (count // 20 + 1), add_special_tokens=False)["input_ids"]
    return tokenizer.decode(ids[:count])


def policy(options):
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer
    model, tokenizer = load(options.model)
    model.generation_config.eos_token_id = None  # all tokens, as in our bench
    model.generation_config.pad_token_id = 0
    prompt = prompt_of(tokenizer, options.prompt_tokens)
    times = {"step": [], "generation": []}
    tokens = {}

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__):
            self.begin = time.time()

        def on_step_end(self, *_, **__):
            times["step"].append(time.time() - self.begin)
            times.setdefault("first", time.time() - STARTED)

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [float(len(set(c))) for c in completions],
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(), per_device_train_batch_size=8, num_generations=8,
            max_completion_length=options.new_tokens, max_steps=options.steps, learning_rate=1e-4, use_cpu=True,
            bf16=False, gradient_checkpointing=options.gradient_checkpointing == "on",
            save_strategy="no", report_to=[], disable_tqdm=True, logging_steps=100),
        train_dataset=Dataset.from_list([{"prompt": prompt}] * 8 * options.steps),
        processing_class=tokenizer, peft_config=adapter(), callbacks=[Clock()])
    generate = trainer._generate_single_turn

    def timed(prompts, *args, **kwargs):
        begin = time.time()
        completions, logprobs = generate(prompts, *args, **kwargs)
        times["generation"].append(time.time() - begin)
        tokens["prompt"], tokens["new"] = map(len, (prompts[0], completions[0]))
        return completions, logprobs

    trainer._generate_single_turn = timed
    trainer.train()
    whole, generation = (median_of_warm(times[k]) for k in ("step", "generation"))
    return {"seconds": whole, "generation_s": generation, "update_s": whole - generation,
            "start_to_first_step_s": times["first"],
            "prompt_tokens": tokens["prompt"], "new_tokens": tokens["new"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=["sft", "grpo"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--prompt-tokens", type=int, default=116)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--gradient-checkpointing", choices=["on", "off"], default="off")
    options = parser.parse_args()
    import torch
    torch.set_num_threads(options.threads)
    result = {"sft": supervised, "grpo": policy}[options.work](options)
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps(result))


if __name__ == "__main__":
    main()
