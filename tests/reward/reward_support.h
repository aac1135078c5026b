// What the reward tests share: one sandbox, and small tasks with their solutions.

#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/types.h"
#include "reward/sandbox.h"

namespace pupil {

inline std::shared_ptr<const Sandbox> shared_sandbox() {
  static const auto sandbox = [] {
    SandboxConfig config;
    config.wall_s = 5;
    config.cpu_s = 2.5;
    config.memory_mb = 256;
    config.processes = 16;
    return std::make_shared<const Sandbox>(config);
  }();
  return sandbox;
}

inline Task make_task(
    const std::string& entry_point,
    const std::vector<std::string>& tests,
    const std::string& setup = "") {
  Task task;
  task.id = task.entry_point = entry_point;
  task.tests = tests;
  task.setup = setup;
  return task;
}

inline Completion make_completion(const std::string& text) {
  Completion completion;
  completion.text = text;
  return completion;
}

inline std::string fenced(const std::string& code) {
  return "```python\n" + code + "\n```";
}

/// {name, solution, tests...} of small tasks of many types.
// NOLINTNEXTLINE(readability-function-size): a table
inline std::vector<std::pair<Task, std::string>> correct_programs() {
  const std::vector<std::vector<std::string>> table = {
      {"add",
       "def add(a, b):\n    return a + b",
       "add(1, 2) == 3",
       "add(a=1, b=-1) == 0"},
      {"is_even",
       "def is_even(n):\n    return n % 2 == 0",
       "is_even(2) == True",
       "is_even(3) == False",
       "is_even(0) == 1"},
      {"rev",
       "def rev(s):\n    return s[::-1]",
       "rev('abc') == 'cba'",
       "rev('') == ''"},
      {"fact",
       "import math\ndef fact(n):\n    return math.factorial(n)",
       "fact(20) == 2432902008176640000",
       "fact(25) == 15511210043330985984000000"},
      {"fib",
       "from functools import lru_cache\n@lru_cache(None)\ndef fib(n):\n"
       "    return n if n < 2 else fib(n - 1) + fib(n - 2)",
       "fib(90) == 2880067194370816120"},
      {"count",
       "from collections import Counter\ndef count(s):\n    return Counter(s)",
       "count('aab') == {'a': 2, 'b': 1}",
       "count('') == {}"},
      {"uniq",
       "def uniq(x):\n    return set(x)",
       "uniq([1, 2, 1]) == {2, 1}",
       "uniq([]) == set()"},
      {"pair", "def pair(a, b):\n    return a, b", "pair(1, None) == (1, None)"},
      {"div",
       "def div(a, b):\n    try:\n        return a / b\n"
       "    except ZeroDivisionError:\n        return None",
       "div(1, 2) == 0.5",
       "div(4, 2) == 2",
       "div(1, 0) == None"},
      {"zero", "def zero():\n    return -0.0", "zero() == 0"},
      {"inf", "def inf():\n    return float('inf')", "inf() == 1e999"},
      {"flat",
       "def flat(x):\n    return [z for y in x for z in y]",
       "flat([[1], [], [2, 3]]) == [1, 2, 3]"},
      {"gen",
       "def gen(n):\n    return list(i * i for i in range(n))",
       "gen(4) == [0, 1, 4, 9]"},
      {"enc", "def enc(s):\n    return s.encode()", "enc('\xc3\xa9') == b'\\xc3\\xa9'"},
      {"uni",
       "def uni(s):\n    return s.upper()",
       "uni('stra\xc3\x9f"
       "e') == 'STRASSE'",
       "uni('\xf0\x9f\x98\x80') == '\\U0001F600'"},
      {"cx", "def cx(a):\n    return a * a", "cx(1j) == -1", "cx(1+1j) == 2j"},
      {"power",
       "def power(a, b):\n    return a ** b",
       "power(2, 100) == 1267650600228229401496703205376",
       "power(2, -1) == .5"},
      {"words",
       "import re\ndef words(s):\n    return re.findall(r'\\w+', s)",
       "words('a b, c') == ['a', 'b', 'c']"},
      {"merge",
       "def merge(a, b):\n    return {**a, **b}",
       "merge({'a': 1}, {'b': [1, (2,)]}) == {'b': [1, (2,)], 'a': 1}"},
      {"nested",
       "def nested(n):\n    x = []\n    for _ in range(n): x = [x]\n"
       "    return x",
       "nested(3) == [[[[]]]]"},
      {"heap",
       "import heapq\ndef heap(x, k):\n    return heapq.nsmallest(k, x)",
       "heap([3, 1, 2], 2) == [1, 2]"},
      {"perms",
       "from itertools import permutations\ndef perms(s):\n"
       "    return sorted(''.join(p) for p in permutations(s))",
       "perms('abc') == ['abc', 'acb', 'bac', 'bca', 'cab', 'cba']"},
      {"roman",
       "def roman(n):\n    out = ''\n"
       "    for v, s in [(10, 'X'), (9, 'IX'), (5, 'V'), (4, 'IV'), (1, 'I')]:\n"
       "        while n >= v:\n            out += s\n            n -= v\n"
       "    return out",
       "roman(14) == 'XIV'",
       "roman(9) == 'IX'"},
      {"point",
       "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'int'\n"
       "    y: int = 2\ndef point(x):\n    p = P(x)\n    return p.x + p.y",
       "point(1) == 3"},
      {"named",
       "from collections import namedtuple\nN = namedtuple('N', 'a b')\n"
       "def named(a, b):\n    return N(a, b)",
       "named(1, 2) == (1, 2)"},
      {"noisy",
       "import sys\ndef noisy(x):\n    print('debug', x)\n"
       "    print('err', file=sys.stderr)\n    return x\nprint(noisy(1))",
       "noisy(5) == 5"},
      {"default",
       "from collections import defaultdict\ndef default(x):\n"
       "    d = defaultdict(list)\n    for a, b in x: d[a].append(b)\n"
       "    return d",
       "default([(1, 2), (1, 3)]) == {1: [2, 3]}"},
      {"lam", "lam = lambda x: x + 1", "lam(1) == 2"},
      {"sieve",
       "def sieve(n):\n    p = [True] * (n + 1)\n"
       "    for i in range(2, int(n ** .5) + 1):\n        if p[i]:\n"
       "            for j in range(i * i, n + 1, i): p[j] = False\n"
       "    return sum(p[2:])",
       "sieve(100000) == 9592"},
      {"main",
       "def main_(x):\n    return x\nmain = main_\n"
       "if __name__ == '__main__':\n    input()",
       "main('x') == 'x'"},
      {"frozen", "def frozen(x):\n    return frozenset(x)", "frozen([1, 1]) == {1}"},
      {"keys", "def keys(d):\n    return d.keys()", "keys({'a': 1}) == {'a'}"},
      {"typed",
       "from typing import List, Optional\n"
       "def typed(x: List[int]) -> Optional[int]:\n    return max(x, default=None)",
       "typed([1, 3, 2]) == 3",
       "typed([]) == None"},
  };
  std::vector<std::pair<Task, std::string>> programs;
  for (const auto& row : table) {
    Task task = make_task(row[0], {});
    for (size_t i = 2; i < row.size(); ++i) task.tests.push_back("assert " + row[i]);
    programs.emplace_back(task, row[1]);
  }
  return programs;
}

}  // namespace pupil
