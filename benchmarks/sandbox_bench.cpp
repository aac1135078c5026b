// Graded programs a second, for trivial programs: all that a box costs. Prints one
// line.
//   sandbox_bench [programs] [workers]

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/cores.h"
#include "reward/sandbox.h"
#include "reward/tests_reward.h"

int main(int argc, char** argv) {
  using namespace pupil;
  const int count = argc > 1 ? std::atoi(argv[1]) : 400;
  const auto cores = static_cast<unsigned>(num_cores());
  const unsigned workers = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : cores;
  Task task;
  task.id = task.entry_point = "add";
  task.tests = {
      "assert add(1, 2) == 3", "assert add(0, 0) == 0", "assert add(-1, 1) == 0"};
  std::vector<Completion> completions(static_cast<size_t>(count));
  std::vector<Sample> samples;
  for (int i = 0; i < count; ++i) {
    completions[i].text =
        "```python\n# " + std::to_string(i) + "\ndef add(a, b):\n    return a + b\n```";
    samples.push_back({&task, &completions[i]});
  }
  const auto sandbox = std::make_shared<const Sandbox>(SandboxConfig{});
  const RewardFn reward = tests_reward(sandbox, workers);
  const auto begin = std::chrono::steady_clock::now();
  const auto scores = reward(samples);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const auto right = std::count_if(
      scores.begin(), scores.end(), [](const Score& s) { return s.value == 1.0; });
  std::printf(
      "%d programs, %u workers: %.1f a second, %td right (%s)\n",
      count,
      workers,
      count / took.count(),
      right,
      sandbox->description().c_str());
  return right == count ? 0 : 1;
}
