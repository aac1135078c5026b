"""A reward program: short answers are better, and an answer without code gets no score.

    reward:
      functions:
        - {name: tests, weight: 1.0}
        - {command: [python3, examples/my_reward.py], weight: 0.2}

Requests come on stdin and replies go to stdout, one JSON object a line (docs/rewards.md).
Messages belong on stderr.
"""
import json
import sys


def score(item):
    """A number, or None: this answer cannot be scored."""
    lines = item["completion"].splitlines()
    if not any(line.startswith("```") for line in lines):
        return None
    return 1.0 / (1.0 + 0.05 * len(lines))


for line in sys.stdin:
    request = json.loads(line)
    scores = [score(item) for item in request["items"]]
    print(json.dumps({"id": request["id"], "scores": scores}), flush=True)
