#!/usr/bin/env python3
"""Makes tests/golden/trl: losses, gradients, metrics and advantages as TRL computes them.

    pip install torch trl==1.16.0
    python3 tools/make_trl_golden.py tests/golden/trl [LOSS_TYPE ...]

One file a loss type, rloo.json, sampler_correction.json and advantages.json. The numbers come
from TRL's own methods (_compute_loss of GRPOTrainer, GMPOTrainer and RLOOTrainer, and of
GRPOTrainer._generate_and_score_completions the advantages and the correction of the
sampler, whose text is run as it stands). Only the model is replaced: `logprobs` and
`entropies` are given. Float32 throughout.
"""
import inspect
import itertools
import json
import math
import random
import sys
import textwrap
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
from trl import GRPOConfig
from trl.experimental.gmpo import GMPOTrainer
from trl.trainer import grpo_trainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_trainer import RLOOTrainer

ROWS, WIDTH = 5, 6
LENGTHS = [6, 4, 1, 5, 0]


class OneProcess:
    """accelerate's Accelerator with one process."""
    num_processes, sync_gradients, device = 1, True, torch.device("cpu")

    def gather(self, x):
        return x

    def gather_for_metrics(self, x):
        return x

    def reduce(self, x, reduction="sum"):
        return x

    def pad_across_processes(self, x, dim=0, pad_index=0):
        return x


def random_table(rng, low, high, digits=4):
    return [[round(rng.uniform(low, high), digits) for _ in range(WIDTH)] for _ in range(ROWS)]


def make_inputs(seed, spread):
    """Log ratios up to `spread` nats, on both sides of every bound."""
    rng = random.Random(seed)
    logprobs = random_table(rng, -3.0, -0.05)
    old = [[x + rng.uniform(-spread, spread) for x in row] for row in logprobs]
    ref = [[x + rng.uniform(-0.5, 0.5) for x in row] for row in logprobs]
    rounded = lambda table: [[round(x, 4) for x in row] for row in table]
    return {
        "logprobs": logprobs,
        "old_logprobs": rounded(old),
        "ref_logprobs": rounded(ref),
        "entropies": random_table(rng, 0.0, 3.0),
        "advantages": [1.25, -0.75, 0.5, -1.5, 0.3],
        "mask": [[1 if t < n else 0 for t in range(WIDTH)] for n in LENGTHS],
        "tool_mask": [[0 if (i + t) % 4 == 3 else 1 for t in range(WIDTH)] for i in range(ROWS)],
    }


def make_trainer(settings):
    args = GRPOConfig(output_dir="unused", bf16=False, use_cpu=True, report_to="none", **settings)
    cls = GMPOTrainer if settings["loss_type"] == "gmpo" else GRPOTrainer
    trainer = cls.__new__(cls)
    trainer.__dict__.update(
        args=args, accelerator=OneProcess(), model=SimpleNamespace(training=True),
        aux_loss_enabled=False, _metrics=defaultdict(lambda: defaultdict(list)),
        current_gradient_accumulation_steps=args.gradient_accumulation_steps,
        epsilon_low=args.epsilon,
        epsilon_high=args.epsilon if args.epsilon_high is None else args.epsilon_high,
        _entropy_bonus_enabled=args.entropy_coef != 0.0 or args.use_adaptive_entropy,
        _last_world_entropy=float("inf"), _entropy_window_stats=None)
    for name in ("beta", "loss_type", "importance_sampling_level", "off_policy_mask_threshold",
                 "top_entropy_quantile", "max_completion_length", "entropy_coef",
                 "use_adaptive_entropy", "use_vllm", "vllm_importance_sampling_correction",
                 "vllm_importance_sampling_mode", "vllm_importance_sampling_clip_min",
                 "vllm_importance_sampling_clip_max"):
        setattr(trainer, name, getattr(args, name))
    return trainer


def trl_block(first, last):
    """A block of _generate_and_score_completions, from the line `first` to before `last`."""
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    start = source.index(first)
    return compile(textwrap.dedent(source[start:source.index(last, start)]), "trl", "exec")


def run_correction(trainer, batch):
    """Old policy over sampler, (B, T) or (B, 1)."""
    code = trl_block(
        "            if self.use_vllm and self.vllm_importance_sampling_correction:\n"
        "                mask = completion_mask",
        "            # Compute the per-token log probabilities for the reference model")
    scope = {"torch": torch, "math": math, "self": trainer, "tool_mask": batch.get("tool_mask"),
             **{name: batch[name] for name in (
                 "completion_mask", "old_per_token_logps", "sampling_per_token_logps")}}
    exec(code, scope)
    return scope["vllm_importance_sampling_ratio"]


def run_loss(inputs, settings, num_items):
    trainer = make_trainer(settings)
    tensor = lambda key: torch.tensor(inputs[key], dtype=torch.float32)
    logprobs = tensor("logprobs").requires_grad_()
    trainer._get_per_token_logps_and_entropies = (
        lambda *args, **kwargs: (logprobs, tensor("entropies"), None))
    batch = {
        "prompt_ids": torch.zeros(ROWS, 1, dtype=torch.long),
        "prompt_mask": torch.ones(ROWS, 1, dtype=torch.long),
        "completion_ids": torch.zeros(ROWS, WIDTH, dtype=torch.long),
        "completion_mask": torch.tensor(inputs["mask"]),
        "advantages": tensor("advantages"),
        "num_items_in_batch": torch.tensor(num_items),
    }
    if inputs["old_logprobs"] is not None:
        batch["old_per_token_logps"] = tensor("old_logprobs")
    if inputs["ref_logprobs"] is not None:
        batch["ref_per_token_logps"] = tensor("ref_logprobs")
    if inputs.get("tool_mask") is not None:
        batch["tool_mask"] = torch.tensor(inputs["tool_mask"])
    if inputs.get("sampling_logprobs") is not None:
        batch["sampling_per_token_logps"] = tensor("sampling_logprobs")
        batch["importance_sampling_ratio"] = run_correction(trainer, batch)
    loss = trainer._compute_loss(trainer.model, batch)
    loss.backward()
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    return loss.item(), logprobs.grad.tolist(), metrics


def settings_of(loss_type):
    """beta x level, then one option at a time. GMPO's code knows few of them."""
    if loss_type == "gmpo":
        for beta in (0.0, 0.04):
            base = {"beta": beta, "use_bias_correction_kl": False}
            yield {**base, "epsilon": 0.4}
            yield {**base, "epsilon": 0.3, "epsilon_high": 0.5, "gradient_accumulation_steps": 4}
            yield {**base, "epsilon": 0.4, "top_entropy_quantile": 0.3}
        return
    for beta, level in itertools.product((0.0, 0.04), ("token", "sequence")):
        yield {"beta": beta, "importance_sampling_level": level}
        yield {"beta": beta, "importance_sampling_level": level, "epsilon_high": 0.28,
               "max_completion_length": 16, "gradient_accumulation_steps": 4,
               "generation_batch_size": 16, "per_device_train_batch_size": 8}
    for level in ("token", "sequence"):
        base = {"beta": 0.1, "importance_sampling_level": level}
        yield {**base, "use_bias_correction_kl": False}
        yield {**base, "delta": 1.1}
        yield {**base, "delta": 4.0, "epsilon": 0.05}
        yield {**base, "top_entropy_quantile": 0.3}
        yield {**base, "off_policy_mask_threshold": 0.05}
        yield {**base, "entropy_coef": 0.02, "gradient_accumulation_steps": 2}
        yield {**base, "top_entropy_quantile": 0.5, "entropy_coef": 0.02}
        yield {**base, "use_adaptive_entropy": True, "entropy_coef": 0.02, "entropy_target": 5.0}
        yield {**base, "epsilon_high": 5.0}
    if loss_type == "sapo":
        yield {"sapo_temperature_pos": 2.0, "sapo_temperature_neg": 0.5}
    if loss_type == "vespo":
        yield {"vespo_k_pos": 1.0, "vespo_lambda_pos": 1.5, "vespo_k_neg": 2.0, "vespo_lambda_neg": 0.0}


def loss_cases(loss_type):
    cases = []
    variants = [make_inputs(1, 0.4), make_inputs(2, 2.0)]
    on_policy = {**make_inputs(3, 0.4), "old_logprobs": None}
    for number, settings in enumerate(settings_of(loss_type)):
        for kind, inputs in enumerate([*variants, on_policy]):
            inputs = dict(inputs)
            if loss_type == "gmpo":  # its code adds a constant -A for a row without tokens
                inputs["advantages"] = [*inputs["advantages"][:-1], 0.0]
            if (number + kind) % 3:
                inputs.pop("tool_mask")
            if settings.get("beta", 0.0) == 0.0:
                inputs["ref_logprobs"] = None
            full = {"loss_type": loss_type, **settings}
            loss, grad, metrics = run_loss(inputs, full, num_items=37)
            cases.append({"request": {**inputs, **full, "num_items_in_batch": 37},
                          "loss": loss, "grad_logprobs": grad, "metrics": metrics})
    return cases


def run_rloo(inputs, epsilon, epsilon_high):
    trainer = RLOOTrainer.__new__(RLOOTrainer)
    trainer.__dict__.update(
        accelerator=OneProcess(), model=SimpleNamespace(training=True), aux_loss_enabled=False,
        _metrics=defaultdict(lambda: defaultdict(list)), epsilon_low=epsilon,
        epsilon_high=epsilon_high)
    tensor = lambda key: torch.tensor(inputs[key], dtype=torch.float32)
    logprobs = tensor("logprobs").requires_grad_()
    trainer._get_per_token_logps_and_entropies = (
        lambda *args, **kwargs: (logprobs, tensor("entropies"), None))
    mask = torch.tensor(inputs["mask"])
    loss = trainer._compute_loss(trainer.model, {
        "prompt_ids": torch.zeros(ROWS, 1, dtype=torch.long),
        "prompt_mask": torch.ones(ROWS, 1, dtype=torch.long),
        "completion_ids": torch.zeros(ROWS, WIDTH, dtype=torch.long),
        "completion_mask": mask,
        "advantages": tensor("advantages"),
        "old_logps": ((logprobs.detach() if inputs["old_logprobs"] is None
                       else tensor("old_logprobs")) * mask).sum(1),
    })
    loss.backward()
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    return loss.item(), logprobs.grad.tolist(), metrics


def rloo_cases():
    """On and off the policy, the completion's ratio within its bounds and beyond them."""
    cases = []
    for seed, spread in ((6, 0.0), (7, 0.05), (8, 0.2), (9, 0.4), (10, 0.8)):
        inputs = make_inputs(seed, spread)
        inputs.pop("tool_mask")
        inputs["ref_logprobs"] = None
        inputs["advantages"] = [*inputs["advantages"][:-1], 0.0]  # as of gmpo
        if spread == 0:
            inputs["old_logprobs"] = None
        for low, high in ((0.2, 0.2), (0.1, 0.5)):
            loss, grad, metrics = run_rloo(inputs, low, high)
            settings = {"loss_type": "grpo", "importance_sampling_level": "sequence_sum",
                        "epsilon": low, "epsilon_high": high}
            cases.append({"request": {**inputs, **settings},
                          "loss": loss, "grad_logprobs": grad, "metrics": metrics})
    return cases


def correction_cases():
    """Weights on both sides of both bounds, of tokens and of sequences."""
    cases = []
    modes = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
    for number, (loss_type, mode, level, least) in enumerate(itertools.product(
            ("grpo", "dapo", "vespo"), modes, ("token", "sequence"), (None, 0.7))):
        inputs = make_inputs(4 + number % 2, 0.4)
        rng = random.Random(number)
        inputs["sampling_logprobs"] = [[round(x + rng.uniform(-0.6, 0.6), 4) for x in row]
                                       for row in inputs["old_logprobs"]]
        if number % 3:
            inputs.pop("tool_mask")
        settings = {"loss_type": loss_type, "beta": 0.04, "importance_sampling_level": level,
                    "use_vllm": True, "vllm_importance_sampling_mode": mode,
                    "vllm_importance_sampling_clip_min": least,
                    "vllm_importance_sampling_clip_max": 1.3}
        if number % 4 == 3:
            settings["off_policy_mask_threshold"] = 0.05
        loss, grad, metrics = run_loss(inputs, settings, num_items=37)
        cases.append({"request": {**inputs, **settings, "num_items_in_batch": 37},
                      "loss": loss, "grad_logprobs": grad, "metrics": metrics})
    return cases


def run_advantages(code, request):
    table = torch.tensor(
        [[[float("nan") if x is None else x for x in (r if isinstance(r, list) else [r])]
          for r in group] for group in request["rewards"]], dtype=torch.float32)
    functions = table.shape[-1]
    weights = request.get("reward_weights") or [1.0] * functions
    trainer = SimpleNamespace(
        reward_weights=torch.tensor(weights, dtype=torch.float32),
        reward_funcs=[None] * functions,
        scale_rewards={True: "group", False: "none"}.get(
            request["scale_rewards"], request["scale_rewards"]),
        multi_objective_aggregation=request["multi_objective_aggregation"])
    scope = dict(vars(grpo_trainer), self=trainer, device="cpu",
                 rewards_per_func=table.view(-1, functions), num_generations=table.shape[1])
    exec(code, scope)
    return scope["advantages"].view(table.shape[0], table.shape[1]).tolist()


def reward_tables():
    rng = random.Random(7)
    score = lambda: rng.choice([0.0, 0.25, 0.5, 1.0, round(rng.random(), 3)])
    one = [[score() for _ in range(4)] for _ in range(3)]
    yield {"rewards": one}
    yield {"rewards": [[1.0, 0.0, None, 0.5], [0.25, 0.75, 1.0, None], [None, 0.1, 0.9, 0.4]]}
    two = [[[score(), score()] for _ in range(4)] for _ in range(3)]
    yield {"rewards": two}
    holes = json.loads(json.dumps(two))
    holes[0][1][0] = holes[1][2][1] = None
    holes[2][3] = [None, None]
    yield {"rewards": holes}
    yield {"rewards": holes, "reward_weights": [2.0, 0.5]}


def advantage_cases():
    code, cases = trl_block(
        "        unscorable_mask = ", "        # Slice to keep only the local part of the data"), []
    for table in reward_tables():
        for scale in ("group", "batch", "none", True, False):
            for how in ("sum_then_normalize", "normalize_then_sum"):
                request = {**table, "num_generations": 4, "scale_rewards": scale,
                           "multi_objective_aggregation": how}
                cases.append({"request": request, "advantages": run_advantages(code, request)})
    return cases


def finite(value):
    """NaN, which TRL logs for a mean over nothing, as null; floats as float32 has them."""
    if isinstance(value, dict):
        return {key: finite(x) for key, x in value.items()}
    if isinstance(value, list):
        return [finite(x) for x in value]
    if isinstance(value, float):
        return None if value != value else float(f"{value:.9g}")
    return value


def write(folder, name, cases):
    lines = ",\n".join(json.dumps(finite(case), allow_nan=False) for case in cases)
    (folder / f"{name}.json").write_text(f"[\n{lines}\n]\n")
    print(name, len(cases))


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or ("grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo", "gmpo"):
        write(folder, name, loss_cases(name))
    write(folder, "rloo", rloo_cases())
    write(folder, "sampler_correction", correction_cases())
    write(folder, "advantages", advantage_cases())


if __name__ == "__main__":
    main()
