#!/usr/bin/env python3
"""A plain grader of answers to HumanEval and MBPP tasks, to compare `pupil`'s with.

    tools/reference_grader.py TASKS ANSWERS

TASKS is a file of either benchmark; ANSWERS has a line {"id": task_id, "completion":
text} an answer. Prints {"id", "passes"} for each: whether one Python process that
executes the answer's code and then the tests comes to its end. There is no sandbox
here: grade nothing that you do not trust.
"""
import ast
import json
import re
import subprocess
import sys
import tempfile

END = "every test passed"
BLOCK = re.compile(r"^ {0,3}```[ \t]*(python3?|py)?[ \t]*\n(.*?)(?:^ {0,3}```|\Z)", re.M | re.S)


def defines(code, name):
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return False
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) and node.name == name for node in tree.body)


def blocks_of(answer):
    """The code blocks of an answer, or the whole answer where it has none."""
    return [match.group(2) for match in BLOCK.finditer(answer)] or [answer]


def human_eval_parts(task, answer):
    """What runs one after the other: the head of the file, the answer, the tests."""
    name, head = task["entry_point"], task["prompt"]
    signature = head.rindex("def " + name + "(")
    for code in blocks_of(answer):
        if defines(code, name):
            return [head[:signature], code, task["test"], f"check({name})"]
    return [head + blocks_of(answer)[0], task["test"], f"check({name})"]


def mbpp_parts(task, answer):
    setup = task.get("test_setup_code") or "\n".join(task.get("test_imports") or [])
    return [blocks_of(answer)[0], setup, *task["test_list"]]


def passes(task, answer, timeout_s=10):
    parts = human_eval_parts(task, answer) if "test" in task else mbpp_parts(task, answer)
    program = (
        "space = {}\n"
        + "".join(f"exec({part!r}, space)\n" for part in parts)
        + f"import sys; sys.__stdout__.write({END!r})\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = subprocess.run(
                [sys.executable, "-c", program], cwd=folder, capture_output=True,
                stdin=subprocess.DEVNULL, timeout=timeout_s, text=True, errors="replace")
        except subprocess.TimeoutExpired:
            return False
    return run.returncode == 0 and run.stdout.endswith(END)


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


if __name__ == "__main__":
    tasks = {task["task_id"]: task for task in read_lines(sys.argv[1])}
    for line in read_lines(sys.argv[2]):
        verdict = passes(tasks[line["id"]], line["completion"], timeout_s=60)
        print(json.dumps({"id": line["id"], "passes": verdict}), flush=True)
