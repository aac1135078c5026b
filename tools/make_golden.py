#!/usr/bin/env python3
"""Makes tests/golden/<name>: tiny random models with what Transformers computes on them.

    pip install torch==2.15.0 transformers==5.23.0 safetensors numpy
    python3 tools/make_golden.py tests/golden

Each folder holds a model directory (config.json, model.safetensors) and golden.safetensors:
`tokens` [B, T], `logits` [B, T, V], `loss` (mean next-token cross-entropy) and
`grad.<parameter>` for every parameter, in float32.
"""
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

SIZES = dict(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
    rms_norm_eps=1e-5,
)
LLAMA3 = dict(
    rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
    high_freq_factor=4.0, original_max_position_embeddings=16,
)
LINEAR = dict(rope_type="linear", rope_theta=10000.0, factor=4.0)

MODELS = {
    "llama": LlamaConfig(**SIZES, rope_parameters=LLAMA3, tie_word_embeddings=True),
    "llama_linear": LlamaConfig(
        **SIZES, rope_parameters=LINEAR, tie_word_embeddings=False, attention_bias=True),
    "mistral": MistralConfig(**SIZES, head_dim=16, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
}


def randomise(model):
    """Weights large enough that every part matters; norms and biases not trivial."""
    for parameter in model.parameters():
        with torch.no_grad():
            if parameter.ndim == 1:
                parameter.copy_(1.0 + 0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.3 * torch.randn_like(parameter))


def golden(model):
    tokens = torch.randint(0, SIZES["vocab_size"], (2, 40))
    logits = model(input_ids=tokens).logits
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1))
    loss.backward()
    values = {"tokens": tokens.to(torch.int32), "logits": logits, "loss": loss}
    for name, parameter in model.named_parameters():
        values["grad." + name] = parameter.grad
    return {name: value.detach().contiguous() for name, value in values.items()}


def main(root):
    for name, config in MODELS.items():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.eval()
        randomise(model)
        folder = root / name
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        save_file(golden(model), folder / "golden.safetensors")
        print(folder, sum(f.stat().st_size for f in folder.iterdir()), "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden"))
