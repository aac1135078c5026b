#include "app/lessons.h"

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "algo/preference_loss.h"
#include "base/log.h"
#include "data/lesson_file.h"
#include "data/task_order.h"

namespace pupil {

namespace {

LessonKind kind_of(const std::string& method) {
  if (method == "sft") return LessonKind::imitate;
  return method == "kto" ? LessonKind::labels : LessonKind::pairs;
}

// What the template adds to the prompt when it is answered.
std::vector<int> answer_ids(
    const Lesson& lesson,
    const std::string& answer,
    const std::vector<int>& prompt,
    const Tokenizer& tokenizer) {
  auto messages = lesson.prompt;
  messages.push_back({"assistant", answer});
  auto all = tokenizer.chat_ids(messages, false);
  bool begins = all.size() > prompt.size() &&
                std::equal(prompt.begin(), prompt.end(), all.begin());
  if (!begins) {
    throw std::invalid_argument(
        "the chat template writes the prompt otherwise once it is answered, so that "
        "the answer's tokens cannot be told; give the line as {\"text\"} to `pupil "
        "sft`, or use another template");
  }
  return {all.begin() + static_cast<std::ptrdiff_t>(prompt.size()), all.end()};
}

void add_answer(
    RolloutGroup& group, std::vector<int> ids, std::string text, bool good) {
  auto& rollout = group.rollouts.emplace_back();
  rollout.completion.tokens = std::move(ids);
  rollout.completion.text = std::move(text);
  rollout.completion.finish = FinishReason::stop;
  rollout.source = Source::teacher;  // whoever wrote it, it is none of the student's
  rollout.reward = good ? 1.0 : -1.0;
}

RolloutGroup plain_text(const Lesson& lesson, const Tokenizer& tokenizer) {
  auto ids = tokenizer.encode(lesson.text);
  int end = tokenizer.eos_id();
  if (end >= 0 && (ids.empty() || ids.back() != end)) ids.push_back(end);
  RolloutGroup group;
  group.task.prompt = lesson.text;
  add_answer(group, std::move(ids), lesson.text, true);
  return group;
}

RolloutGroup conversation(const Lesson& lesson, const Tokenizer& tokenizer) {
  RolloutGroup group;
  group.task.prompt = lesson.prompt.back().content;
  group.prompt.tokens = tokenizer.chat_ids(lesson.prompt, true);
  for (const auto& answer : lesson.answers) {
    auto ids = answer_ids(lesson, answer.content, group.prompt.tokens, tokenizer);
    add_answer(group, std::move(ids), answer.content, answer.good);
  }
  return group;
}

// All tokens but the first become the answer.
void unmask_prompt(RolloutGroup& group) {
  auto& prompt = group.prompt.tokens;
  auto& answer = group.rollouts[0].completion.tokens;
  answer.insert(answer.begin(), prompt.begin(), prompt.end());
  prompt = {answer.front()};
  answer.erase(answer.begin());
}

// Whether anything was too long.
bool cut(RolloutGroup& group, size_t most) {
  bool cuts = false;
  for (auto& rollout : group.rollouts) {
    auto& tokens = rollout.completion.tokens;
    size_t room = most - std::min(most, group.prompt.tokens.size());
    if (tokens.size() <= room) continue;
    tokens.resize(room);
    rollout.completion.finish = FinishReason::length;
    cuts = true;
  }
  return cuts;
}

RolloutGroup group_of(
    const Lesson& lesson, const Config& config, const Tokenizer& tokenizer) {
  bool is_text = lesson.prompt.empty();
  auto group =
      is_text ? plain_text(lesson, tokenizer) : conversation(lesson, tokenizer);
  bool unmask = config.train.method == "sft" && !config.data.mask_prompt;
  if (is_text || unmask) unmask_prompt(group);
  return group;
}

void expect_answers(const RolloutGroup& group) {
  for (const auto& rollout : group.rollouts) {
    if (rollout.completion.tokens.empty()) {
      throw std::invalid_argument(
          "no token is left to learn from; raise data.max_seq_length, or drop the "
          "line");
    }
  }
}

// A model computes on behind its positions, and badly.
void tell_of_cuts(const Config& config, const Model& model, size_t cuts, size_t lines) {
  int positions = model.decoder.config.max_positions;
  if (cuts == 0 || config.data.max_seq_length <= positions) return;
  log_warning(
      "[" + config.data.train + "] " + std::to_string(cuts) + " of " +
      std::to_string(lines) + " lines are longer than the model's " +
      std::to_string(positions) + " positions and are cut there");
}

std::vector<Lesson> lessons_of(const Config& config) {
  auto lessons = load_lessons(config.data.train, kind_of(config.train.method));
  if (config.data.limit) {
    auto limit = static_cast<size_t>(*config.data.limit);
    lessons.resize(std::min(lessons.size(), limit));
  }
  return lessons;
}

std::vector<RolloutGroup> groups_of(const Config& config, const Model& model) {
  std::vector<RolloutGroup> groups;
  auto lessons = lessons_of(config);
  size_t cuts = 0;
  for (const auto& lesson : lessons) {
    auto name = "lesson " + std::to_string(groups.size() + 1);
    try {
      groups.push_back(group_of(lesson, config, model.tokenizer));
      groups.back().task.id = name;
      cuts += cut(groups.back(), longest_lesson(config, model));
      expect_answers(groups.back());
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(
          "[" + config.data.train + "] " + name + ": " + error.what());
    }
  }
  tell_of_cuts(config, model, cuts, groups.size());
  return groups;
}

// Lines that begin with the same tokens go into the group of the first of them. Theirs
// stay without an answer, so that each step of a round has the groups of its own lines.
void pack_lines(std::span<RolloutGroup> step) {
  for (size_t i = 1; i < step.size(); ++i) {
    auto first = std::ranges::find_if(step.first(i), [&](const auto& group) {
      return group.prompt.tokens == step[i].prompt.tokens;
    });
    if (first == step.begin() + static_cast<std::ptrdiff_t>(i)) continue;
    first->rollouts.push_back(std::move(step[i].rollouts[0]));
    step[i].rollouts.clear();
  }
}

}  // namespace

int longest_lesson(const Config& config, const Model& model) {
  return std::min(config.data.max_seq_length, model.decoder.config.max_positions);
}

size_t num_lessons(const Config& config) {
  return lessons_of(config).size();
}

Stages lesson_stages(const Config& config, const Model& model) {
  auto all = std::make_shared<std::vector<RolloutGroup>>(groups_of(config, model));
  TaskOrder order{config.seed, config.data.shuffle, all->size()};
  Stages stages;
  size_t packed = packs_lessons(config) ? config.train.prompts_per_step : 1;
  stages.draw = [=](uint64_t first, size_t count, const TaskRecords&) {
    std::vector<RolloutGroup> drawn;
    for (size_t index : tasks_in_order(order, first, count)) {
      drawn.push_back((*all)[index]);
      drawn.back().prompt.key = first++;
    }
    std::span<RolloutGroup> lines(drawn);
    for (size_t at = 0; at < count; at += packed)
      pack_lines(lines.subspan(at, std::min(packed, count - at)));
    return drawn;
  };
  stages.generate = [](std::span<RolloutGroup>, int, const SamplingEvents&) {};
  stages.score = [](std::span<RolloutGroup>, const OnScored&) {};
  return stages;
}

}  // namespace pupil
