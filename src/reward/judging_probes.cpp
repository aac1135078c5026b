// Programs that anybody can see do not work, judged among the others: a judge that
// likes them is not to be trusted.

#include <memory>

#include "base/random.h"
#include "base/sha256.h"
#include "reward/judge_forms.h"
#include "reward/judging.h"

namespace pupil {

namespace {

std::string python_probe(const std::string& name, uint64_t which) {
  std::string head = "```python\ndef " + name + "(*args):\n    ";
  switch (which % 3) {
    case 0:
      return head + "raise NotImplementedError\n```";
    case 1:
      return head + "return NotImplemented\n```";
    default:
      return "```python\nimport sys\nsys.exit(0)\n```";
  }
}

// Empty where we know no program of the language.
std::string known_bad(const Task& task, uint64_t which) {
  std::string name = task.entry_point.empty() ? "solution" : task.entry_point;
  if (task.language == "python") return python_probe(name, which);
  if (task.language == "javascript")
    return "```javascript\nfunction " + name +
           "() { throw new Error('not implemented'); }\n```";
  return "";
}

uint64_t bits_of(const OpenAnswer& answer) {
  Sha256 hash;
  hash.field("probe").field(answer.task->prompt).field(answer.text);
  return std::stoull(hash.hex().substr(0, 16), nullptr, 16);
}

}  // namespace

JudgeWork judge_probes(
    const JudgeTerms& terms, std::span<const OpenAnswer> answers, JudgeCounts& counts) {
  JudgeWork work;
  // Answers of a group and of a pair are judged against others; a probe stands alone.
  JudgeTerms alone = terms;
  if (alone.config.mode != "expected") alone.config.mode = "rubric";
  auto shared = std::make_shared<const JudgeTerms>(std::move(alone));
  for (const auto& answer : answers) {
    uint64_t bits = bits_of(answer);
    if (keyed_uniform({bits}) >= terms.config.known_answer_rate) continue;
    auto program = known_bad(*answer.task, bits);
    if (program.empty()) continue;
    auto question = graded_question(*shared, *answer.task, program, 0);
    question.check = [shared, check = question.check](const ChatReply& reply) {
      return check(reply);  // which reads `shared`, also where the work is gone
    };
    work.questions.push_back(std::move(question));
  }
  work.read = [shared, &counts](std::span<const ChatReply> replies) {
    for (const auto& reply : replies) {
      auto score = read_graded(*shared, reply).score.value;
      if (!score) continue;
      ++counts.probes;
      counts.probe_sum += *score;
      counts.probes_failed += *score > kAlarmScore;
    }
  };
  return work;
}

}  // namespace pupil
