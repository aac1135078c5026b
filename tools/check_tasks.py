#!/usr/bin/env python3
"""Checks that the project's own tasks are sound, prints a table, exits 1 if one is not.

Of each task in data/tasks: at least 6 different tests `assert f(<literals>) == <literal>`,
all passed by the reference solution; few passed by an answer that is no solution: one that
returns nothing, always the same value, or its first argument. Of both files together: no
function and no wording in common, and no solution of one that passes the tests of the other.
"""
import ast
import copy
import json
import re
import signal
import sys
from pathlib import Path

MIN_TESTS, MIN_BOOL_TESTS = 6, 8
MAX_SHARE, MAX_BOOL_SHARE = 0.35, 0.5  # of the tests that a non-solution may pass
MAX_LIKENESS = 0.6                     # of two wordings, in shared pairs of words
SIZES = {"train": 160, "heldout": 60}
# Words that any task may begin with: they say nothing about what is asked.
FRAME = set("write a an the python function that which returns return it its is of in to "
            "and or given by with define for".split())


def parse_test(task, test):
    """`assert f(<literals>) == <literal>` as (arguments, expected value)."""
    statement, = ast.parse(test).body
    compare = statement.test
    call = compare.left
    if not (isinstance(statement, ast.Assert) and isinstance(compare.ops[0], ast.Eq)
            and len(compare.ops) == 1 and call.func.id == task["entry_point"]
            and not call.keywords):
        raise ValueError("not of the form `assert f(<literals>) == <literal>`")
    arguments = [ast.literal_eval(argument) for argument in call.args]
    return arguments, ast.literal_eval(compare.comparators[0])


def passes(function, test):
    arguments, expected = test
    try:
        return function(*arguments) == expected
    except Exception:  # a wrong answer may fail in any way
        return False


def share(function, tests):
    return sum(passes(function, test) for test in tests) / len(tests)


def function_of(task):
    names = {}
    exec(task["solution"], names)  # our own code, from our own file
    return names[task["entry_point"]]


def non_solutions(tests):
    """The share of tests that each kind of non-solution passes."""
    constants = [share(lambda *_, value=value: value, tests) for _, value in tests]
    return {"empty": share(lambda *_: None, tests), "constant": max(constants),
            "echo": share(lambda *arguments: arguments[0], tests)}


def problems_of(task, tests):
    is_bool = all(isinstance(expected, bool) for _, expected in tests)
    limit = MAX_BOOL_SHARE if is_bool else MAX_SHARE
    needed = MIN_BOOL_TESTS if is_bool else MIN_TESTS
    calls = {json.dumps(arguments, default=str) for arguments, _ in tests}
    if len(calls) < needed:
        yield f"{len(calls)} different tests, expected at least {needed}"
    if share(function_of(task), tests) < 1:
        yield "its solution fails a test"
    for kind, passed in non_solutions(tests).items():
        if passed > limit:
            yield f"the {kind} answer passes {passed:.0%} of the tests"
    if f"`{task['entry_point']}(" not in task["prompt"]:
        yield "its prompt does not name the function in backquotes"


def wording(prompt):
    """The pairs of neighbouring words that say what is asked."""
    words = [word for word in re.findall(r"[a-z0-9]+", re.sub(r"`[^`]*`", " ", prompt.lower()))
             if word not in FRAME]
    return set(zip(["<"] + words, words + [">"]))


def likeness(a, b):
    return len(a & b) / len(a | b)


def overlaps(left, right):
    """Tasks of two files, or of one file with itself, that ask for the same."""
    for a in left:
        for b in right:
            same_name = a["entry_point"] == b["entry_point"]
            like = likeness(wording(a["prompt"]), wording(b["prompt"]))
            if a is not b and (same_name or like > MAX_LIKENESS):
                yield f"{a['id']} and {b['id']}: same name or wording (likeness {like:.2f})"


def in_time(function):
    """`function`, which raises where it does not end: it may loop on foreign arguments."""
    def call(*arguments):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            return function(*arguments)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return call


def on_alarm(*_):
    raise TimeoutError


def same_functions(train, heldout):
    """Held-out tasks that the solution of a training task would pass."""
    signal.signal(signal.SIGALRM, on_alarm)
    solutions = {task["id"]: function_of(task) for task in train}
    for task in heldout:
        tests = [parse_test(task, test) for test in task["tests"]]
        for name, function in solutions.items():
            if all(passes(in_time(function), copy.deepcopy(test)) for test in tests):
                yield f"{task['id']}: the solution of {name} passes all of its tests"


def check_file(name, tasks):
    """Every problem of one file's tasks; prints its row of the table."""
    shares = []
    for task in tasks:
        try:
            tests = [parse_test(task, test) for test in task["tests"]]
        except (ValueError, AttributeError, SyntaxError) as error:
            yield f"{task['id']}: a test cannot be split: {error}"
            continue
        shares.append(non_solutions(tests))
        yield from (f"{task['id']}: {problem}" for problem in problems_of(task, tests))
    if len(tasks) < SIZES[name]:
        yield f"{name}: {len(tasks)} tasks, expected at least {SIZES[name]}"
    means = (sum(row[kind] for row in shares) / max(1, len(shares))
             for kind in ("empty", "constant", "echo"))
    num_tests = sum(len(task["tests"]) for task in tasks)
    print(f"{name:8}{len(tasks):6}{num_tests:7}", *(f"{mean:10.3f}" for mean in means))


def main():
    folder = Path(__file__).resolve().parent.parent / "data" / "tasks"
    files = {name: [json.loads(line) for line in (folder / f"{name}.jsonl").open()]
             for name in SIZES}
    print("file     tasks  tests      empty   constant       echo   (mean share passed)")
    problems = [p for name, tasks in files.items() for p in check_file(name, tasks)]
    problems += overlaps(files["train"], files["heldout"])
    if not problems:
        problems += same_functions(files["train"], files["heldout"])
    print(*problems, sep="\n", end="\n" if problems else "")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
