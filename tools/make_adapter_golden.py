#!/usr/bin/env python3
"""Makes tests/golden/adapters: ten steps of LoRA, DoRA and all weights by PyTorch and PEFT.

    pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2 safetensors
    python3 tools/make_adapter_golden.py tests/golden/qwen2 tests/golden/adapters

The model is the tiny one of the first folder (tools/make_golden.py). The loss is the mean
of -log p of the last 32 of 40 tokens of two rows. Each file has under mlx-lm's names
`start.<array>` (not of full), `grad.<array>` of the first loss, `final.<array>` after ten
steps, and `losses` [10] before each of them; `lora` also `rslora_loss`, the first loss with
use_rslora. AdamW, learning rate 0.01, weight decay 0.01 of matrices, gradient norm clipped
to 1. Float32. `full` trains the blocks; it shows one gradient and final array of each shape.
`peft_lora` and `peft_dora` are directories that PEFT saved; `logprobs.safetensors` in each has
what the model with it gives to tokens 1 to 39 of both rows [2, 39].
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

RANK, SCALE, STEPS, PROMPT = 2, 2.0, 10, 8
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PARTS = {"lora_A.default.weight": "lora_a", "lora_B.default.weight": "lora_b",
         "lora_magnitude_vector.default.weight": "m"}
SHOWN_OF_FULL = ["layers.0.self_attn.k_proj.weight", "layers.0.self_attn.k_proj.bias",
                 "layers.1.mlp.down_proj.weight", "layers.1.input_layernorm.weight",
                 "layers.1.post_attention_layernorm.weight"]


def mlx_name(name):
    name = name.removeprefix("base_model.model.")
    for theirs, ours in PARTS.items():
        if name.endswith(theirs):
            return name.removesuffix(theirs) + ours
    return name


def mlx_array(name, array):
    turned = name.endswith(("lora_A.default.weight", "lora_B.default.weight"))
    return (array.T if turned else array).detach().contiguous().clone()


def loss_of(model, tokens):
    logits = model(input_ids=tokens).logits[:, PROMPT - 1:-1]
    return torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), tokens[:, PROMPT:].reshape(-1))


def adapted(folder, **settings):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(r=RANK, lora_alpha=RANK * SCALE, target_modules=LINEARS, **settings)
    model = get_peft_model(model, config)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            spread = 0.2 if "lora_A" in name else 0.1
            parameter.data = spread * torch.randn_like(parameter)
    return model.eval()


def whole(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".layers." in name)
    return model.eval()


def golden(model, tokens, shown):
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    keep = {n: mlx_name(n) for n in trained if shown is None or n.endswith(tuple(shown))}
    values = {}
    if shown is None:
        values |= {"start." + ours: mlx_array(n, trained[n]) for n, ours in keep.items()}
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in trained.values() if p.ndim > 1], "weight_decay": 0.01},
         {"params": [p for p in trained.values() if p.ndim == 1], "weight_decay": 0.0}], lr=0.01)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, tokens)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            values |= {"grad." + o: mlx_array(n, trained[n].grad) for n, o in keep.items()}
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
    values |= {"final." + ours: mlx_array(n, trained[n]) for n, ours in keep.items()}
    return values | {"losses": torch.tensor(losses)}


def save_directory(model, tokens, folder):
    """As PEFT saves it, without the README and with nothing of this machine in it."""
    shutil.rmtree(folder, ignore_errors=True)
    with torch.no_grad():
        logprobs = torch.log_softmax(model(input_ids=tokens).logits[:, :-1], -1)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config |= {"base_model_name_or_path": "tiny/qwen2",
               "target_modules": sorted(config["target_modules"])}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    chosen = logprobs.gather(-1, tokens[:, 1:, None])[..., 0].contiguous()
    save_file({"logprobs": chosen}, folder / "logprobs.safetensors")


def main(model_folder, folder):
    folder.mkdir(parents=True, exist_ok=True)
    tokens = load_file(model_folder / "golden.safetensors")["tokens"].long()
    files = {"lora": golden(adapted(model_folder), tokens, None),
             "dora": golden(adapted(model_folder, use_dora=True), tokens, None),
             "full": golden(whole(model_folder), tokens, SHOWN_OF_FULL)}
    files["lora"]["rslora_loss"] = loss_of(adapted(model_folder, use_rslora=True), tokens).detach()
    for name, values in files.items():
        save_file(values, folder / f"{name}.safetensors")
        print(name, values["losses"].tolist(), (folder / f"{name}.safetensors").stat().st_size)
    save_directory(adapted(model_folder, use_rslora=True), tokens, folder / "peft_lora")
    save_directory(adapted(model_folder, use_dora=True, layers_to_transform=[1]), tokens,
                   folder / "peft_dora")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
