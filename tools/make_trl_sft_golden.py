#!/usr/bin/env python3
"""Makes tests/golden/trl/sft.json: one step's loss and gradient of TRL's SFTTrainer.

    pip install torch==2.15.0 transformers==5.23.0 trl==1.16.0
    python3 tools/make_trl_sft_golden.py tests/golden/qwen2 tests/golden/trl/sft.json

The trainer itself runs one step over all rows of a case, on the tiny model of the first
folder (tools/make_golden.py), in float32: rows of several lengths, their first tokens
masked (label -100) or none; padded into batches, in microbatches of one step
(gradient_accumulation_steps), and packed ("bfd", positions that start again and no
attention between rows). `rows` has the token ids, `prompts` how many of each are masked,
`loss` what the trainer logs. `grad` holds arrays of each shape, `norms` the gradient norm
of every array of the blocks.
"""
import json
import random
import sys
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer

LENGTHS = [(3, 9), (3, 4), (3, 17), (3, 1), (3, 6), (3, 12)]  # masked, learned
SHOWN = ["layers.0.self_attn.k_proj.weight", "layers.0.self_attn.k_proj.bias",
         "layers.1.post_attention_layernorm.weight"]
CASES = {
    "one_batch": {"per_device_train_batch_size": 6},
    "accumulated": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3},
    "packed": {"per_device_train_batch_size": 1, "packing": True, "max_length": 70},
    "all_tokens": {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2},
}


def make_rows(vocabulary):
    """Rows that begin with the same masked tokens, which may be packed by us, too."""
    rng = random.Random(11)
    prompt = [rng.randrange(4, vocabulary) for _ in range(3)]
    return [prompt + [rng.randrange(4, vocabulary) for _ in range(n)] for _, n in LENGTHS]


def tokenizer(vocabulary):
    words = {f"<{i}>": i for i in range(vocabulary)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="<1>")), pad_token="<0>",
        eos_token="<2>", unk_token="<1>")


class Gradients(TrainerCallback):
    """Those of the step, before the optimizer takes them."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.grads = {n: p.grad.detach().clone() for n, p in model.named_parameters()
                      if ".layers." in n}


def run(folder, rows, prompts, settings):
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager")
    labels = [[-100] * n + row[n:] for row, n in zip(rows, prompts)]
    data = Dataset.from_dict({"input_ids": rows, "labels": labels})
    with tempfile.TemporaryDirectory() as output:
        args = SFTConfig(
            output_dir=output, max_steps=1, learning_rate=0.0, max_grad_norm=0.0, bf16=False,
            use_cpu=True, report_to="none", logging_steps=1, save_strategy="no",
            gradient_checkpointing=False, disable_tqdm=True, **settings)
        grads = Gradients()
        trainer = SFTTrainer(model, args, train_dataset=data, callbacks=[grads],
                             processing_class=tokenizer(model.config.vocab_size))
        if settings.get("packing"):
            assert len(trainer.train_dataset) == 1, len(trainer.train_dataset)
        # The log rounds to four digits: what the step returns is exact.
        losses, step = [], trainer.training_step
        trainer.training_step = lambda *a, **k: losses.append(step(*a, **k)) or losses[-1]
        trainer.train()
    return sum(x.item() for x in losses), grads.grads


def rounded(values):
    return [float(f"{x:.9g}") for x in values.flatten().tolist()]


def case(folder, rows, name, settings):
    prompts = [1 if name == "all_tokens" else n for n, _ in LENGTHS]
    loss, grads = run(folder, rows, prompts, settings)
    print(name, loss)
    return {
        "name": name, "rows": rows, "prompts": prompts, "loss": loss,
        "grad": {n: rounded(g) for n, g in grads.items() if n.endswith(tuple(SHOWN))},
        "norms": {n: float(f"{g.norm().item():.9g}") for n, g in grads.items()}}


def main(folder, path):
    rows = make_rows(json.loads((folder / "config.json").read_text())["vocab_size"])
    cases = [json.dumps(case(folder, rows, name, s)) for name, s in CASES.items()]
    path.write_text("[\n" + ",\n".join(cases) + "\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
