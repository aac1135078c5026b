#!/usr/bin/env python3
"""Makes tests/golden/trl/preference.json: losses and gradients of TRL's DPO, IPO, SimPO and
KTO, and TRL's metrics.

    pip install torch trl==1.16.0
    python3 tools/make_trl_preference_golden.py tests/golden/trl

The numbers come from DPOTrainer._compute_loss, KTOTrainer._compute_loss and
CPOTrainer.cpo_loss. Only the model is replaced: the log-probabilities of the completions'
tokens are given, and the gradient is that of the loss by them. Float32 throughout.
"""
import json
import random
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer

LENGTHS = [5, 3, 1, 6, 4, 4]  # good and bad ones of three pairs, in turn
WIDTH = 6


class OneProcess:
    """accelerate's Accelerator with one process."""
    device = torch.device("cpu")

    def gather(self, x):
        return x

    def gather_for_metrics(self, x):
        return x

    def unwrap_model(self, x):
        return x


class Model(torch.nn.Module):
    """Answers with given log-probabilities, the prompt's single token left out."""
    is_gradient_checkpointing = False

    def __init__(self, logprobs):
        super().__init__()
        self.logprobs = logprobs

    def forward(self, **_):
        zeros = torch.zeros_like(self.logprobs)
        return SimpleNamespace(
            log_probs=self.logprobs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())


def trainer(beta, reference, **settings):
    return SimpleNamespace(
        model=Model(None), ref_model=Model(reference), beta=beta, accelerator=OneProcess(),
        precompute_ref_logps=False, aux_loss_enabled=False, ld_alpha=None,
        f_divergence_type="reverse_kl", use_weighting=False, loss_weights=[1.0],
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1, **settings)


def table(rng, low, high):
    return [[round(rng.uniform(low, high), 4) if t < n else 0.0 for t in range(WIDTH)]
            for n in LENGTHS]


def in_order(values, order):
    return torch.tensor([values[i] for i in order], requires_grad=False)


def batch_of(order):
    mask = torch.tensor([[0] + [int(t < LENGTHS[i]) for t in range(WIDTH)] for i in order])
    ids = torch.ones_like(mask)
    return {"input_ids": ids, "attention_mask": ids, "completion_mask": mask}


def answer(case, loss, logprobs, order, metrics):
    loss.backward()
    gradient = [None] * len(order)
    for row, i in enumerate(order):
        gradient[i] = logprobs.grad[row].tolist()
    return {**case, "loss": loss.item(), "gradient": gradient,
            "metrics": {k: v[-1] for k, v in metrics.items()
                        if k.startswith(("rewards/", "logps/"))}}


def dpo(case, policy, reference):
    order = [0, 2, 4, 1, 3, 5]  # the good ones first
    logprobs = in_order(policy, order).requires_grad_()
    me = trainer(case["beta"], in_order(reference, order),
                 loss_types=["ipo" if case["method"] == "ipo" else "sigmoid"],
                 label_smoothing=case["label_smoothing"])
    if case["label_smoothing"] > 0:  # TRL's sigmoid has none: CPO's formula on the scores
        cpo = SimpleNamespace(alpha=0.0, accelerator=me.accelerator, loss_type="sigmoid",
                              beta=case["beta"], label_smoothing=case["label_smoothing"])
        scores = (logprobs - in_order(reference, order)).sum(1)
        losses, _, _ = CPOTrainer.cpo_loss(cpo, scores[:3], scores[3:])
        return answer(case, losses.mean(), logprobs, order, {})
    loss = DPOTrainer._compute_loss(me, Model(logprobs), batch_of(order), False)
    return answer(case, loss, logprobs, order, me._metrics["train"])


def simpo(case, policy):
    order = [0, 2, 4, 1, 3, 5]
    logprobs = in_order(policy, order).requires_grad_()
    counts = torch.tensor([float(LENGTHS[i]) for i in order])
    means = logprobs.sum(1) / counts
    me = SimpleNamespace(alpha=0.0, accelerator=OneProcess(), loss_type="simpo",
                         beta=case["beta"], simpo_gamma=case["simpo_gamma"],
                         label_smoothing=case["label_smoothing"])
    losses, good, bad = CPOTrainer.cpo_loss(me, means[:3], means[3:])
    metrics = {"rewards/chosen": [good.mean().item()], "rewards/rejected": [bad.mean().item()]}
    return answer(case, losses.mean(), logprobs, order, metrics)


def kto(case, policy, reference):
    order = list(range(len(LENGTHS)))
    logprobs = in_order(policy, order).requires_grad_()
    kl = case["kl"]  # of the mismatched completions, policy less reference
    me = trainer(case["beta"], in_order(reference, order), loss_type="kto",
                 calculate_KL=True, desirable_weight=case["desirable_weight"],
                 undesirable_weight=case["undesirable_weight"])
    me._compute_kl_logps = lambda model, _: torch.tensor(kl if model is not me.ref_model
                                                         else [0.0] * len(kl))
    inputs = {**batch_of(order), "label": torch.tensor([i % 2 == 0 for i in order])}
    loss = KTOTrainer._compute_loss(me, Model(logprobs), inputs, False)
    return answer(case, loss, logprobs, order, me._metrics["train"])


def cases():
    base = {"label_smoothing": 0.0}
    for beta in (0.1, 0.5):
        for smoothing in (0.0, 0.1):
            yield {**base, "method": "dpo", "beta": beta, "label_smoothing": smoothing}
            yield {**base, "method": "simpo", "beta": 4 * beta, "simpo_gamma": 0.8,
                   "label_smoothing": smoothing}
        yield {**base, "method": "ipo", "beta": beta}
        for kl in ([0.3, 0.1, -0.2, 0.9, 0.4, 0.0], [-0.3, -0.1, -0.2, 0.1, 0.0, 0.0]):
            yield {**base, "method": "kto", "beta": beta, "kl": kl,
                   "desirable_weight": 1.0, "undesirable_weight": 1.33}


def main():
    rng = random.Random(7)
    policy, reference = table(rng, -3.0, -0.05), table(rng, -3.0, -0.05)
    answers = []
    for case in cases():
        if case["method"] == "kto":
            answers.append(kto(case, policy, reference))
        elif case["method"] == "simpo":
            answers.append(simpo(case, policy))
        else:
            answers.append(dpo(case, policy, reference))
    golden = {"lengths": LENGTHS, "logprobs": policy, "ref_logprobs": reference, "cases": answers}
    path = Path(sys.argv[1]) / "preference.json"
    path.write_text(json.dumps(golden, indent=1) + "\n")
    print(f"{path}: {len(answers)} cases")


if __name__ == "__main__":
    main()
