#!/usr/bin/env python3
"""A GRPO loop of one's own around `pupil worker generate` and `pupil worker train`.

    examples/worker_grpo.py --pupil build/release/pupil --model mlx_model/smollm2-135m-q4

One worker samples groups of answers, this program scores them, the other worker takes a
policy gradient step and saves its adapter, which the first one loads: sampler and trainer
never share memory. Nothing but Python's standard library is needed. The reward counts
commas, six are enough: to enumerate is what it learns.
"""
import argparse
import itertools
import json
import pathlib
import statistics
import subprocess
import tempfile

QUESTIONS = [
    "What does one need for a picnic?",
    "Name some animals of the forest.",
    "What is in a tool box?",
    "Which colours does a rainbow have?",
]


class Worker:
    """A process that answers JSON Lines (docs/worker_protocol.md)."""

    def __init__(self, pupil, kind, *arguments):
        self.process = subprocess.Popen(
            [pupil, "worker", kind, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.ids = itertools.count(1)
        self.hello = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with {self.process.wait()}")
        message = json.loads(line)
        if message.get("ok") is False:
            raise RuntimeError(message["error"]["message"])
        return message

    def ask(self, op, **fields):
        request = {"op": op, "id": next(self.ids), **fields}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        reply = self.read()
        assert reply["id"] == request["id"]
        return reply

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def reward(text):
    return min(1.0, text.count(",") / 6)


def advantages(rewards):
    mean, spread = statistics.mean(rewards), statistics.pstdev(rewards)
    return [(value - mean) / (spread + 1e-4) for value in rewards]


def samples_of(sampler, options, step):
    """The samples of one step for the trainer, and the rewards."""
    samples, all_rewards = [], []
    for question in QUESTIONS:
        reply = sampler.ask(
            "generate", messages=[{"role": "user", "content": question}], n=options.group,
            max_tokens=options.tokens, temperature=1.0, seed=options.seed + step)
        group = reply["completions"]
        rewards = [reward(completion["text"]) for completion in group]
        all_rewards += rewards
        for completion, advantage in zip(group, advantages(rewards)):
            samples.append({
                "input_ids": reply["prompt_ids"] + completion["ids"],
                "prompt_length": len(reply["prompt_ids"]), "advantage": advantage,
                "old_logprobs": completion["logprobs"]})
    return samples, all_rewards


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pupil", default="build/release/pupil")
    parser.add_argument("--model", default="mlx_model/smollm2-135m-q4")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sampler = Worker(options.pupil, "generate", "--model", options.model)
    trainer = Worker(options.pupil, "train", "--model", options.model)
    with tempfile.TemporaryDirectory() as folder:
        adapter = str(pathlib.Path(folder) / "adapter")
        for step in range(options.steps):
            samples, rewards = samples_of(sampler, options, step)
            update = trainer.ask(
                "train_step", samples=samples, loss_type="dapo", temperature=1.0,
                learning_rate=options.learning_rate)
            trainer.ask("save_adapters", path=adapter)
            sampler.ask("load_adapters", path=adapter)
            print(f"step {step + 1}: reward {statistics.mean(rewards):.3f}, "
                  f"loss {update['loss']:+.4f}, gradient {update['grad_norm']:.3f}",
                  flush=True)
    sampler.close()
    trainer.close()


if __name__ == "__main__":
    main()
