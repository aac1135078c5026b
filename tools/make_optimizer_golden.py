#!/usr/bin/env python3
"""Makes tests/golden/optimizers: twenty steps of three arrays by other libraries' optimizers.

    pip install torch transformers; python3 tools/make_optimizer_golden.py DIR torch
    pip install mlx;                python3 tools/make_optimizer_golden.py DIR mlx

inputs.json has the start and the gradients of each step, a file an optimizer the settings
and the arrays after the steps 1, 2, 10 and 20. Arrays of one dimension have no weight
decay. Float32; torch.optim.Muon computes its orthogonal matrices in bfloat16, and here in
float32, by its own text.
"""
import inspect
import json
import math
import sys
from pathlib import Path

SHAPES = [[6, 4], [3, 5], [4]]
STEPS, SHOWN, RATE, DECAY = 20, (1, 2, 10, 20), 1e-2, 0.1


def nested(shape, f, n=0):
    if not shape:
        return round(f(n), 4)
    size = math.prod(shape[1:])
    return [nested(shape[1:], f, n + i * size) for i in range(shape[0])]


def make_inputs():
    start = [nested(s, lambda n: math.cos(1.3 * n + len(s))) for s in SHAPES]
    # Of every size and sign; one number of each array never has a gradient.
    grads = [[nested(s, lambda n: 0.0 if n == 2 else math.sin(0.7 * t + 2.1 * n) * 10 ** (n % 4 - 2))
              for s in SHAPES] for t in range(STEPS)]
    return {"start": start, "grads": grads}


def torch_optimizers():
    import torch
    from torch.optim import _muon
    from transformers.optimization import Adafactor

    text = inspect.getsource(_muon._zeropower_via_newtonschulz).replace("bfloat16", "float32")
    exec(text, _muon.__dict__)

    def two(cls, matrices, vectors, **settings):
        return [cls([{"params": matrices, "weight_decay": settings.pop("decay", 0.0)},
                     {"params": vectors, "weight_decay": 0.0}], **settings)]

    adam = {"lr": RATE, "betas": (0.9, 0.95), "eps": 1e-6}
    hf = {"lr": RATE, "scale_parameter": False, "relative_step": False}
    return {
        "adamw": ("torch.optim.AdamW", {"adam_beta2": 0.95, "adam_epsilon": 1e-6},
                  lambda m, v, d: two(torch.optim.AdamW, m, v, decay=d, **adam)),
        "adam": ("torch.optim.Adam", {"adam_beta2": 0.95, "adam_epsilon": 1e-6},
                 lambda m, v, d: two(torch.optim.Adam, m, v, decay=d, **adam)),
        "sgd": ("torch.optim.SGD", {"momentum": 0.8},
                lambda m, v, d: two(torch.optim.SGD, m, v, decay=d, lr=RATE, momentum=0.8)),
        "adafactor": ("transformers.optimization.Adafactor", {},
                      lambda m, v, d: two(Adafactor, m, v, decay=d, **hf)),
        "muon": ("torch.optim.Muon in float32, match_rms_adamw; AdamW of vectors", {},
                 lambda m, v, d: [
                     torch.optim.Muon(m, lr=RATE, weight_decay=d, adjust_lr_fn="match_rms_adamw"),
                     torch.optim.AdamW(v, lr=RATE, weight_decay=0.0)]),
    }


def run_torch(inputs, make, decay):
    import torch
    params = [torch.tensor(a, dtype=torch.float32).requires_grad_() for a in inputs["start"]]
    matrices, vectors = [p for p in params if p.ndim > 1], [p for p in params if p.ndim == 1]
    optimizers = make(matrices, vectors, decay)
    after = {}
    for t, grads in enumerate(inputs["grads"], 1):
        for p, g in zip(params, grads):
            p.grad = torch.tensor(g, dtype=torch.float32)
        for optimizer in optimizers:
            optimizer.step()
        if t in SHOWN:
            after[t] = [p.detach().tolist() for p in params]
    return after


def mlx_optimizers():
    import mlx.optimizers as optim
    return {
        "lion": ("mlx.optimizers.Lion", {},
                 lambda d: optim.Lion(RATE, betas=[0.9, 0.99], weight_decay=d)),
        "adafactor_mlx": ("mlx.optimizers.Adafactor", {},
                          lambda d: optim.Adafactor(RATE, weight_decay=d, scale_parameter=False,
                                                    relative_step=False)),
    }


def run_mlx(inputs, make, decay):
    import mlx.core as mx
    mx.set_default_device(mx.cpu)
    params = [mx.array(a) for a in inputs["start"]]
    optimizers = [make(decay if p.ndim > 1 else 0.0) for p in params]
    after = {}
    for t, grads in enumerate(inputs["grads"], 1):
        params = [o.apply_gradients({"p": mx.array(g)}, {"p": p})["p"]
                  for o, p, g in zip(optimizers, params, grads)]
        mx.eval(params)
        if t in SHOWN:
            after[t] = [p.tolist() for p in params]
    return after


def main():
    folder, library = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    inputs = make_inputs()
    (folder / "inputs.json").write_text(json.dumps(inputs, separators=(",", ":")) + "\n")
    table, run = {"torch": (torch_optimizers, run_torch), "mlx": (mlx_optimizers, run_mlx)}[library]
    for name, (reference, settings, make) in table().items():
        cases = [{"weight_decay": d, "after": run(inputs, make, d)} for d in (0.0, DECAY)]
        golden = {"reference": reference, "optim": name.removesuffix("_mlx"), "learning_rate": RATE,
                  "settings": settings, "cases": cases}
        text = json.dumps(golden, separators=(",", ":"))
        golden = json.loads(text, parse_float=lambda s: float(f"{float(s):.9g}"))
        (folder / f"{name}.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
