#!/usr/bin/env python3
"""Makes tests/golden/<name>: tiny random models with what Transformers computes on them.

    pip install torch==2.15.0 transformers==5.23.0 safetensors numpy
    python3 tools/make_golden.py tests/golden [NAME...]

Each folder holds a model directory (config.json, model.safetensors) and golden.safetensors:
`tokens` [B, T], `logits` [B, T, V], `loss` (mean next-token cross-entropy),
`grad.<parameter>` for every parameter, in float32, and `greedy`: what the most likely
tokens are after the first PROMPT ones of the first row.
Parameters bear the names of mlx-lm, which differ from Transformers' for experts only.
"""
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM, Gemma2Config, Gemma3TextConfig, GraniteConfig, LlamaConfig,
    MistralConfig, Olmo2Config, Phi3Config, Qwen2Config, Qwen3Config, Qwen3MoeConfig,
    SmolLM3Config)

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
YARN = dict(
    rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16)
# Plain up to max_position_embeddings, which these texts stay within.
DYNAMIC = dict(rope_type="dynamic", rope_theta=10000.0, factor=4.0)
# Smaller. A padding token would have no gradient; the others would lie outside the
# vocabulary.
SMALL = dict(
    vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
    rms_norm_eps=1e-5, pad_token_id=None, bos_token_id=1, eos_token_id=1,
)
HEADS = dict(head_dim=8)
WINDOW = dict(sliding_window=5)
LONG = dict(
    rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.5, 2.0],
    long_factor=[2.0, 3.0, 4.0], original_max_position_embeddings=64,
    partial_rotary_factor=0.75)
PROMPT, GREEDY = 8, 12

MODELS = {
    "llama": LlamaConfig(**SIZES, rope_parameters=LLAMA3, tie_word_embeddings=True),
    "llama_linear": LlamaConfig(
        **SIZES, rope_parameters=LINEAR, tie_word_embeddings=False, attention_bias=True),
    "mistral": MistralConfig(**SIZES, head_dim=16, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
}
FAMILIES = {
    "llama_yarn": LlamaConfig(**SMALL, rope_parameters=YARN, tie_word_embeddings=True),
    "llama_dynamic": LlamaConfig(**SMALL, rope_parameters=DYNAMIC, tie_word_embeddings=True),
    "mistral_window": MistralConfig(**SMALL, **HEADS, **WINDOW),
    "qwen3": Qwen3Config(
        **SMALL, **HEADS, **WINDOW, use_sliding_window=True, max_window_layers=1),
    "gemma2": Gemma2Config(
        **SMALL, **HEADS, **WINDOW, query_pre_attn_scalar=12, attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0),
    "gemma3_text": Gemma3TextConfig(
        **SMALL | dict(num_hidden_layers=3), **HEADS, **WINDOW, query_pre_attn_scalar=12,
        sliding_window_pattern=3,
        rope_parameters={
            "full_attention": dict(rope_type="linear", rope_theta=1e6, factor=8.0),
            "sliding_attention": dict(rope_type="default", rope_theta=10000.0)}),
    "phi3": Phi3Config(
        **SMALL | dict(hidden_size=32), sliding_window=5, rope_parameters=LONG,
        original_max_position_embeddings=64),
    "granite": GraniteConfig(
        **SMALL, attention_multiplier=0.2, embedding_multiplier=3.0,
        residual_multiplier=0.5, logits_scaling=2.0, tie_word_embeddings=True),
    "olmo2": Olmo2Config(**SMALL),
    "smollm3": SmolLM3Config(**SMALL, no_rope_layer_interval=2),
    "qwen3_moe": Qwen3MoeConfig(
        **SMALL, **HEADS, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=12,
        norm_topk_prob=True, mlp_only_layers=[1]),
}


def randomise(model):
    """Weights large enough that every part matters; norms and biases not trivial."""
    for parameter in model.parameters():
        with torch.no_grad():
            if parameter.ndim == 1:
                parameter.copy_(1.0 + 0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.3 * torch.randn_like(parameter))


def mlx_names(name, gradient):
    """Transformers' stacked experts have gate and up in one."""
    if ".mlp.experts." not in name:
        return {name: gradient}
    scope, part = name.split(".mlp.experts.")
    parts = {part: gradient}
    if part == "gate_up_proj":
        parts = dict(zip(("gate_proj", "up_proj"), gradient.chunk(2, dim=1)))
    return {f"{scope}.mlp.switch_mlp.{part}.weight": g for part, g in parts.items()}


def golden(model, shape):
    tokens = torch.randint(0, model.config.vocab_size, shape)
    logits = model(input_ids=tokens).logits
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1))
    loss.backward()
    values = {"tokens": tokens.to(torch.int32), "logits": logits, "loss": loss}
    for name, parameter in model.named_parameters():
        for name, gradient in mlx_names(name, parameter.grad).items():
            values["grad." + name] = gradient
    return {name: value.detach().contiguous() for name, value in values.items()}


def greedy(model, prompt):
    """The tokens after it, each from the whole sequence: no cache is in the way."""
    ids = prompt[None]
    with torch.no_grad():
        for _ in range(GREEDY):
            best = model(input_ids=ids, use_cache=False).logits[:, -1].argmax(-1)
            ids = torch.cat([ids, best[None]], dim=1)
    return ids[0, len(prompt):].to(torch.int32)


def save(folder, config, shape):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    randomise(model)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    values = golden(model, shape)
    values["greedy"] = greedy(model, values["tokens"][0, :PROMPT].long())
    save_file(values, folder / "golden.safetensors")
    print(folder, sum(f.stat().st_size for f in folder.iterdir()), "bytes")


def main(root, *only):
    for name, config in MODELS.items():
        if not only or name in only:
            save(root / name, config, (2, 40))
    for name, config in FAMILIES.items():
        if not only or name in only:
            save(root / name, config, (2, 24))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden"), *sys.argv[2:])
