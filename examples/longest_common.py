"""A reward program that uses a column of the tasks file: how much of `expected_output`, a
key of your own in each task's line, stands in the answer.

A program is free to be slow to start (a model, a data base): it is started once.
"""
import difflib
import json
import sys


def score(item):
    expected = item["task"].get("expected_output")
    if not expected:
        return None
    matcher = difflib.SequenceMatcher(None, expected, item["completion"], autojunk=False)
    return matcher.find_longest_match().size / len(expected)


for line in sys.stdin:
    request = json.loads(line)
    scores = []
    for item in request["items"]:
        try:
            scores.append(score(item))
        except Exception as error:  # one bad answer costs no other its score
            print(item["task"]["id"], error, file=sys.stderr)
            scores.append(None)
    print(json.dumps({"id": request["id"], "scores": scores}), flush=True)
