#!/usr/bin/env python3
"""Writes tests/golden/human_eval: tasks in HumanEval's format, answers to them, and
what tools/reference_grader.py says of each answer.

    tools/make_eval_golden.py
"""
import json
from pathlib import Path

from reference_grader import passes

FOLDER = Path(__file__).parent.parent / "tests/golden/human_eval"


def task(number, prompt, entry_point, solution, test):
    return {"task_id": f"Ours/{number}", "prompt": prompt, "entry_point": entry_point,
            "canonical_solution": solution, "test": test}


def fenced(code, mark="python"):
    return f"```{mark}\n{code.rstrip()}\n```"


TASKS = [
    task(0, 'from typing import List\n\n\ndef count_above(numbers: List[float], limit: float) -> int:\n'
         '    """How many numbers are larger than limit.\n    >>> count_above([1.0, 3.5], 2.0)\n    1\n    """\n',
         "count_above", "    return sum(n > limit for n in numbers)\n",
         "\n\nMETADATA = {'author': 'pupil'}\n\n\ndef check(candidate):\n"
         "    assert candidate([1.0, 3.5], 2.0) == 1\n    assert candidate([], 0.0) == 0\n"
         "    assert candidate([5, 6, 7], 5) == 2\n"),
    task(1, 'def shift(text: str):\n    """Each lower-case letter moved by three, z to c."""\n'
         "    return ''.join(chr((ord(c) - ord('a') + 3) % 26 + ord('a')) for c in text)\n\n\n"
         'def unshift(text: str):\n    """Takes what shift gave and gives back what it took."""\n',
         "unshift", "    return ''.join(chr((ord(c) - ord('a') - 3) % 26 + ord('a')) for c in text)\n",
         "def check(candidate):\n    for word in ['abc', 'xyz', 'hello', '']:\n"
         "        assert candidate(shift(word)) == word\n"),
    task(2, 'import math\n\n\ndef area(radius):\n    """Area of a circle."""\n', "area",
         "    return math.pi * radius ** 2\n",
         "def check(candidate):\n    assert abs(candidate(1) - 3.14159265) < 1e-6\n"
         "    assert abs(candidate(2.5) - 19.6349540) < 1e-6\n    assert candidate(0) == 0\n"),
    task(3, 'def is_palindrome(text: str) -> bool:\n    """Test if text is a palindrome."""\n'
         "    return text == text[::-1]\n\n\ndef longest_palindrome_head(text: str) -> str:\n"
         '    """The longest beginning of text that is a palindrome."""\n',
         "longest_palindrome_head",
         "    for end in range(len(text), 0, -1):\n        if is_palindrome(text[:end]):\n"
         "            return text[:end]\n    return ''\n",
         "def check(candidate):\n    assert candidate('') == ''\n    assert candidate('abac') == 'aba'\n"
         "    assert candidate('xyz') == 'x'\n    assert candidate('noon') == 'noon'\n"),
    task(4, 'def split_pairs(values):\n    """A list of tuples of neighbours: (a, b), (c, d), ...; a last one alone\n'
         '    is left out.\n    """\n', "split_pairs",
         "    return list(zip(values[::2], values[1::2]))\n",
         "def check(candidate):\n    assert candidate([1, 2, 3, 4]) == [(1, 2), (3, 4)]\n"
         "    assert candidate([1, 2, 3]) == [(1, 2)]\n    assert candidate([]) == []\n"),
    task(5, 'def safe_root(x: int) -> int:\n    """The whole square root of x. Raises ValueError below 0."""\n',
         "safe_root",
         "    if x < 0:\n        raise ValueError('negative')\n    root = 0\n"
         "    while (root + 1) ** 2 <= x:\n        root += 1\n    return root\n",
         "def check(candidate):\n    assert candidate(0) == 0\n    assert candidate(17) == 4\n    try:\n"
         "        candidate(-1)\n        assert False, 'no error'\n    except ValueError:\n        pass\n"),
    task(6, 'from typing import Dict, List\n\n\ndef histogram(words: List[str]) -> Dict[str, int]:\n'
         '    """How often each word occurs."""\n', "histogram",
         "    counts: Dict[str, int] = {}\n    for word in words:\n"
         "        counts[word] = counts.get(word, 0) + 1\n    return counts\n",
         "def check(candidate):\n    assert candidate(['a', 'b', 'a']) == {'a': 2, 'b': 1}\n"
         "    assert candidate([]) == {}\n    assert list(candidate(['z', 'a'])) == ['z', 'a']\n"),
    task(7, 'def remove_odd(values: list) -> None:\n    """Removes the odd numbers from values, in place."""\n',
         "remove_odd", "    values[:] = [v for v in values if v % 2 == 0]\n",
         "def check(candidate):\n    values = [1, 2, 3, 4]\n    assert candidate(values) is None\n"
         "    assert values == [2, 4]\n    empty = []\n    candidate(empty)\n    assert empty == []\n"),
    task(8, 'def fibonacci(n: int) -> int:\n    """The n-th Fibonacci number; the 0th is 0, the first 1."""\n',
         "fibonacci", "    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n",
         "def check(candidate):\n    assert candidate(0) == 0\n    assert candidate(10) == 55\n"
         "    assert candidate(100) == 354224848179261915075\n"),
    task(9, 'import re\nfrom collections import Counter\n\nVOWELS = set("aeiou")\n\n\n'
         'def top_vowel(text: str):\n    """The vowel that occurs most, None without vowels."""\n', "top_vowel",
         "    counts = Counter(c for c in re.findall('[a-z]', text) if c in VOWELS)\n"
         "    return counts.most_common(1)[0][0] if counts else None\n",
         "def check(candidate):\n    assert candidate('banana') == 'a'\n    assert candidate('rhythm') is None\n"
         "    assert candidate('tree') == 'e'\n"),
    task(10, 'def flatten(nested):\n    """All that is not a list in nested lists, in order."""\n', "flatten",
         "    flat = []\n    for item in nested:\n        if isinstance(item, list):\n"
         "            flat.extend(flatten(item))\n        else:\n            flat.append(item)\n    return flat\n",
         "def check(candidate):\n    assert candidate([1, [2, [3, []], 4]]) == [1, 2, 3, 4]\n"
         "    assert candidate([]) == []\n    assert candidate(['a', ['b']]) == ['a', 'b']\n"),
    task(11, 'def make_adder(amount):\n    """Not tested."""\n    return lambda x: x + amount\n\n\n'
         'def add_all(values, amount=1):\n    """Each value plus amount."""\n', "add_all",
         "    return [make_adder(amount)(v) for v in values]\n",
         "def check(candidate):\n    assert candidate([1, 2]) == [2, 3]\n"
         "    assert candidate([1, 2], amount=5) == [6, 7]\n    assert candidate((0.5,), 1) == [1.5]\n"),
]


def signature_of(task):
    head = task["prompt"]
    return head[head.rindex("def " + task["entry_point"] + "("):]


def usual_answers(task):
    """What instruct models write, right and broken."""
    body, name = task["canonical_solution"], task["entry_point"]
    function = signature_of(task) + body
    return [
        fenced(task["prompt"] + body),
        "Here is the function:\n\n" + fenced(function) + "\n\nIt does what was asked.",
        fenced(body),
        body,
        fenced(f"def {name}(*args, **kwargs):\n    return None"),
        fenced(function.replace("return", "return not", 1) if "return" in body else "pass"),
        fenced(function + "\n\nraise RuntimeError('at the end')"),
        fenced(function.replace(f"def {name}", f"def other_{name}")),
        fenced(function + f"\n\nif __name__ == '__main__':\n    print({name}(input()))"),
        "```python\n" + function,
        function.replace(":", "", 1),
    ]


SPECIAL = [
    (0, fenced("from __future__ import annotations\n\n\ndef count_above(numbers: List[float], limit):\n"
               "    return len([n for n in numbers if n > limit])")),
    (0, fenced("def count_above(numbers, limit):\n    return sum(n >= limit for n in numbers)")),
    (0, fenced("import sys\n\n\ndef count_above(numbers, limit):\n    sys.exit(0)")),
    (1, fenced("def unshift(text):\n    return text")),
    (1, "First an example:\n\n" + fenced("print(unshift('def'))") + "\n\nand the function:\n\n" +
        fenced("def unshift(text):\n    return ''.join(chr((ord(c) - 100) % 26 + 97) for c in text)")),
    (2, fenced("from math import pi\n\n\ndef area(radius):\n    return pi * radius * radius")),
    (2, fenced("def area(radius):\n    return 3.14 * radius * radius")),
    (2, fenced("import numpy_is_not_here\n\n\ndef area(radius):\n    return 0")),
    (3, fenced("def longest_palindrome_head(text):\n    return text[:1]")),
    (4, fenced("def split_pairs(values):\n    return [list(p) for p in zip(values[::2], values[1::2])]")),
    (4, fenced("def split_pairs(values):\n    return tuple(zip(values[::2], values[1::2]))")),
    (4, fenced("def split_pairs(values):\n    pairs = []\n    while len(values) > 1:\n"
               "        pairs.append((values.pop(0), values.pop(0)))\n    return pairs")),
    (5, fenced("import math\n\n\ndef safe_root(x):\n    return math.isqrt(x)")),
    (5, fenced("def safe_root(x):\n    return int(abs(x) ** 0.5)")),
    (5, fenced("def safe_root(x):\n    while True:\n        x += 1")),
    (6, fenced("from collections import Counter\n\n\ndef histogram(words):\n    return Counter(words)")),
    (6, fenced("def histogram(words):\n    return {w: words.count(w) for w in sorted(words)}")),
    (7, fenced("def remove_odd(values):\n    values = [v for v in values if v % 2 == 0]")),
    (7, fenced("def remove_odd(values):\n    for v in list(values):\n        if v % 2:\n            values.remove(v)")),
    (8, fenced("def fibonacci(n):\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)", "py")),
    (8, fenced("def fibonacci(n):\n    return round(((1 + 5 ** 0.5) / 2) ** n / 5 ** 0.5)")),
    (8, "```\ndef fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n```"),
    (9, fenced("def top_vowel(text):\n    best = max(sorted(VOWELS), key=text.count)\n"
               "    return best if best in text else None")),
    (9, fenced("def top_vowel(text):\n    return 'a'")),
    (10, fenced("flatten = lambda nested: nested")),
    (10, fenced("def flatten(nested):\n    print(nested)\n    return [y for x in nested for y in (flatten(x) if type(x) is list else [x])]")),
    (11, fenced("def add_all(values, amount=2):\n    return [v + amount for v in values]")),
    (11, fenced("class Adder:\n    def __init__(self, amount):\n        self.amount = amount\n\n    def __call__(self, v):\n"
                "        return v + self.amount\n\n\ndef add_all(values, amount=1):\n    return list(map(Adder(amount), values))")),
    (11, "I am not sure how to do this."),
    (11, ""),
]


def main():
    answers = [(task, answer) for task in TASKS[:4] for answer in usual_answers(task)]
    answers += [(task, fenced(task["prompt"] + task["canonical_solution"])) for task in TASKS[4:]]
    answers += [(TASKS[number], answer) for number, answer in SPECIAL]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "tasks.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(task) + "\n" for task in TASKS)
    with open(FOLDER / "answers.jsonl", "w", encoding="utf-8") as file:
        for task, answer in answers:
            line = {"id": task["task_id"], "completion": answer, "passes": passes(task, answer)}
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
