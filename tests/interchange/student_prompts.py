"""What the comparisons of greedy text with other programs share."""
import json
import os
import subprocess

PROMPTS = [
    "Write a Python function `add(a, b)` that returns the sum of two numbers.",
    "Write a Python function that reverses a string.",
    "What is the capital of France?",
    "Write a Python function `is_even(n)`.",
    "Explain what a list is, in one sentence.",
]
TOKENS = 32


def compare(mine, reference, near_tie):
    """Positions that agree with [(token, margin)], the margin at the first that does not,
    and the verdict."""
    for i, (token, margin) in enumerate(reference):
        if i >= len(mine) or mine[i] != token:
            return i, margin, margin < near_tie
    return len(reference), None, True


def train(pupil, model_dir, folder):
    """The adapter of two steps at a rate that moves the text."""
    tasks, config, run = (os.path.join(folder, name) for name in ("t.jsonl", "c.yaml", "run"))
    with open(tasks, "w") as file:
        for i, prompt in enumerate(PROMPTS):
            file.write(json.dumps({"id": str(i), "prompt": prompt}) + "\n")
    with open(config, "w") as file:
        json.dump({  # YAML contains JSON
            "hardware": {"mlx_model_path": model_dir},
            "data": {"train": tasks},
            "rollout": {"num_generations": 4, "max_completion_length": 32},
            "reward": {"functions": [{"name": "rubric", "weight": 1},
                                     {"name": "format", "weight": 1}]},
            "train": {"max_steps": 2, "prompts_per_step": 2, "learning_rate": 1e-3},
            "logging": {"run_dir": run}}, file)
    subprocess.run([pupil, "train", "-c", config], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(run, "adapters")
