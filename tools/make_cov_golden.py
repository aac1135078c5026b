#!/usr/bin/env python3
"""Makes tests/golden/verl: losses and gradients of clip_cov and kl_cov as verl computes them.

    pip install torch
    pip download --no-deps verl==0.9.1 && unzip verl-0.9.1-*.whl -d VERL
    python3 tools/make_cov_golden.py VERL/verl tests/golden/verl

verl holds the published code of arXiv:2505.22617. The text of its functions
(trainer/ppo/core_algos.py: compute_policy_loss_clip_cov, compute_policy_loss_kl_cov,
agg_loss; utils/torch_functional.py: masked_sum, masked_mean) is run as it stands, without
the package around it. clip_cov draws at random among its candidates: `cov_share` is such
that all of them are taken. Float32.
"""
import ast
import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import torch

ROWS, WIDTH = 5, 6
LENGTHS = [6, 4, 1, 5, 2]


def functions(path, names, scope):
    """Runs the definitions of `names` in the file, without decorators, in `scope`."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            node.decorator_list = []
            exec(compile(ast.Module([node], []), str(path), "exec"), scope)


def load(verl):
    base = {"torch": torch, "Any": Any, "Optional": Optional}
    helpers = dict(base)
    functions(verl / "utils/torch_functional.py", ("masked_sum", "masked_mean"), helpers)
    scope = dict(base, verl_F=SimpleNamespace(**helpers), ActorConfig=SimpleNamespace,
                 AlgoConfig=type("AlgoConfig", (), {}))
    names = ("agg_loss", "compute_policy_loss_clip_cov", "compute_policy_loss_kl_cov")
    functions(verl / "trainer/ppo/core_algos.py", names, scope)
    return scope


def make_inputs(seed, spread):
    rng = random.Random(seed)
    table = lambda low, high: [[round(rng.uniform(low, high), 4) for _ in range(WIDTH)]
                               for _ in range(ROWS)]
    logprobs, moved = table(-3.0, -0.05), table(-spread, spread)
    return {
        "logprobs": logprobs,
        "old_logprobs": [[round(x + d, 4) for x, d in zip(*rows)] for rows in zip(logprobs, moved)],
        "advantages": [1.25, -0.75, 0.5, -1.5, 0.3],
        "mask": [[1 if t < n else 0 for t in range(WIDTH)] for n in LENGTHS],
    }


def config_of(settings):
    policy = SimpleNamespace(
        clip_cov_ratio=settings["cov_share"], kl_cov_ratio=settings["cov_share"],
        clip_cov_lb=settings.get("clip_cov_low"), clip_cov_ub=settings.get("clip_cov_high"),
        ppo_kl_coef=settings.get("kl_cov_coef"))
    return SimpleNamespace(
        policy_loss=policy, clip_ratio=settings.get("epsilon", 0.2), clip_ratio_low=None,
        clip_ratio_high=settings.get("epsilon_high"),
        global_batch_info={"batch_num_tokens": settings.get("num_items_in_batch")})


def run(scope, inputs, settings):
    tensor = lambda key: torch.tensor(inputs[key], dtype=torch.float32)
    logprobs = tensor("logprobs").requires_grad_()
    loss_of = scope["compute_policy_loss_" + settings["loss_type"]]
    old = tensor("old_logprobs") if inputs["old_logprobs"] else logprobs.detach()
    loss, _ = loss_of(old, logprobs, tensor("advantages")[:, None].expand(ROWS, WIDTH),
                      tensor("mask"), config=config_of(settings))
    loss.backward()
    return loss.item(), logprobs.grad.tolist()


def settings_of(loss_type):
    if loss_type == "clip_cov":
        yield {"cov_share": 1.0, "clip_cov_low": 0.1, "clip_cov_high": 5.0}
        yield {"cov_share": 1.0, "clip_cov_low": -0.2, "clip_cov_high": 0.4}
        yield {"cov_share": 1.0, "clip_cov_low": 0.0, "clip_cov_high": 9.0, "epsilon": 0.05,
               "epsilon_high": 0.3, "num_items_in_batch": 37}
        yield {"cov_share": 0.0002, "clip_cov_low": 90.0, "clip_cov_high": 99.0}  # nothing
        return
    yield {"cov_share": 0.0002}
    yield {"cov_share": 0.2, "kl_cov_coef": 0.5}
    yield {"cov_share": 0.5, "kl_cov_coef": 2.0, "num_items_in_batch": 37}
    yield {"cov_share": 1.0}


def cases(scope, loss_type):
    on_policy = {**make_inputs(3, 0.4), "old_logprobs": None}
    for settings in settings_of(loss_type):
        for inputs in (make_inputs(1, 0.4), make_inputs(2, 2.0), on_policy):
            full = {"loss_type": loss_type, **settings}
            loss, grad = run(scope, inputs, full)
            yield {"request": {**inputs, **full}, "loss": loss, "grad_logprobs": grad}


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(x) for key, x in value.items()}
    if isinstance(value, list):
        return [rounded(x) for x in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def main(verl, folder):
    folder.mkdir(parents=True, exist_ok=True)
    scope = load(verl)
    for name in ("clip_cov", "kl_cov"):
        lines = [json.dumps(rounded(case), allow_nan=False) for case in cases(scope, name)]
        (folder / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
        print(name, len(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
