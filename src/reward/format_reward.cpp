#include "reward/format_reward.h"

#include "reward/answer.h"
#include "reward/test_cases.h"
#include "text/python_source.h"

namespace pupil {

Score format_score(const Task& task, const Completion& completion) {
  if (task.language != "python") return {std::nullopt, "the task is not in Python"};
  const std::string entry_point = entry_point_of(task);
  const auto blocks = fenced_blocks(completion.text);
  const std::string code = code_of_answer(completion.text, entry_point);
  if (code.empty()) return {0.0, "no Python code"};
  const bool parses = parses_as_python(code);
  const bool complete = parses && defines(code, entry_point);
  if (blocks.empty()) {
    return complete ? Score{0.3, "code without a fence"}
                    : Score{0.0, "no fence and no such function"};
  }
  if (!parses) return {0.2, "a block that does not parse"};
  if (!complete) return {0.5, "a block that does not define the function"};
  const bool alone = blocks.size() == 1 && blocks[0].closed;
  return alone ? Score{1.0, "one block that defines the function"}
               : Score{0.7, "several blocks, or one that is not closed"};
}

RewardFn format_reward() {
  return [](std::span<const Sample> samples) {
    std::vector<Score> scores;
    for (const auto& [task, completion] : samples) {
      scores.push_back(format_score(*task, *completion));
    }
    return scores;
  };
}

}  // namespace pupil
