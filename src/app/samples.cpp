#include "app/samples.h"

#include <spdlog/spdlog.h>

#include <memory>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "reward/teacher.h"
#include "rollout/worker_engine.h"

namespace pupil {

namespace {

void fill(std::span<RolloutGroup> groups, std::vector<std::vector<Completion>> all) {
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].rollouts.clear();
    for (auto& completion : all[g]) {
      groups[g].rollouts.emplace_back().completion = std::move(completion);
    }
  }
}

std::vector<Prompt> prompts_of(std::span<const RolloutGroup> groups) {
  std::vector<Prompt> prompts;
  for (const auto& group : groups) prompts.push_back(group.prompt);
  return prompts;
}

OnCompletion teller_of(const OnCompleted& on_completed) {
  if (!on_completed) return {};
  return [&](int prompt, int, const Completion& completion) {
    on_completed(static_cast<size_t>(prompt), completion);
  };
}

void generate_by_student(
    const Session& session,
    std::span<RolloutGroup> groups,
    int n,
    const SamplingEvents& events) {
  auto prompts = prompts_of(groups);
  auto sampling = sampling_config(session.config);
  std::vector<int> lengths(prompts.size() * n);
  auto on_token = [&](int prompt, int row, int, bool last) {
    int length = ++lengths[prompt * n + row];
    if (events.on_sampled)
      events.on_sampled(1, last ? sampling.max_tokens - length : 0);
  };
  auto on_completion = teller_of(events.on_completed);
  fill(
      groups,
      generate(session.model, prompts, n, sampling, on_token, nullptr, on_completion));
}

void generate_by_worker(
    const Session& session,
    std::span<RolloutGroup> groups,
    int n,
    const SamplingEvents& events) {
  auto prompts = prompts_of(groups);
  auto sampling = sampling_config(session.config);
  WorkerEvents told{events.on_sampled, teller_of(events.on_completed)};
  fill(groups, session.worker->generate(session.model, prompts, n, sampling, told));
}

// The teacher's text as the student would have written it; no log-probabilities.
Completion as_completion(const WrittenAnswer& answer, const Session& session) {
  const auto& model = session.model;
  Completion completion;
  completion.text = *answer.text;
  completion.tokens = model.tokenizer.encode_plain(completion.text);
  completion.finish = answer.finish;
  auto limit = static_cast<size_t>(session.config.rollout.max_completion_length);
  if (completion.tokens.size() > limit) {
    completion.tokens.resize(limit);
    completion.text = model.tokenizer.decode(completion.tokens);
    completion.finish = FinishReason::length;
  } else if (completion.tokens.size() == limit) {
    completion.finish = FinishReason::length;  // no room for its end
  } else if (answer.finish == FinishReason::stop) {
    completion.tokens.push_back(model.eos_ids.at(0));
  }
  return completion;
}

Rollout written(const WrittenAnswer& answer, const Session& session) {
  Rollout rollout;
  rollout.source = Source::teacher;
  rollout.missing = answer.reason;
  if (!answer.text) return rollout;
  try {
    rollout.completion = as_completion(answer, session);
  } catch (const std::invalid_argument& error) {
    rollout.missing = error.what();  // a token that the student has no embedding for
  }
  return rollout;
}

void generate_by_teacher(
    const Session& session,
    std::span<RolloutGroup> groups,
    int n,
    const SamplingEvents& /*asked all at once*/) {
  std::vector<std::vector<Message>> chats;
  for (const auto& group : groups) chats.push_back(chat_of(group.task, session.config));
  const auto& rollout = session.config.rollout;
  auto answers = session.teacher->write_answers(
      chats, n, rollout.temperature, rollout.max_completion_length);
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].rollouts.clear();
    for (const auto& answer : answers[g])
      groups[g].rollouts.push_back(written(answer, session));
  }
}

GenerateFn bound(const Session& session, decltype(generate_by_student) generate) {
  return [&session, generate](auto groups, int n, const SamplingEvents& events) {
    generate(session, groups, n, events);
  };
}

[[noreturn]] void teacher_is_needed(const std::string& key) {
  throw std::invalid_argument(
      "[config] " + key + " needs a teacher that writes; set teacher.provider");
}

}  // namespace

std::vector<Message> chat_of(const Task& task, const Config& config) {
  std::vector<Message> messages;
  if (config.model.system_prompt) {
    messages.push_back({"system", *config.model.system_prompt});
  }
  messages.push_back({"user", task.prompt});
  return messages;
}

GenerateFn student_samples(const Session& session) {
  return bound(session, session.worker ? generate_by_worker : generate_by_student);
}

GenerateFn training_samples(const Session& session) {
  const auto& config = session.config;
  bool has_teacher = session.teacher && session.teacher->writes();
  if (!config.hardware.use_mlx_for_generation) {
    if (!has_teacher) teacher_is_needed("hardware.use_mlx_for_generation: false");
    return bound(session, generate_by_teacher);
  }
  const auto& fallback = config.rollout.fallback;
  if (fallback == "teacher" && !has_teacher)
    teacher_is_needed("rollout.fallback: teacher");
  auto student = student_samples(session);
  if (fallback == "error" || !has_teacher) return student;
  return with_fallback(student, bound(session, generate_by_teacher));
}

GenerateFn with_fallback(GenerateFn student, GenerateFn teacher) {
  auto warned = std::make_shared<bool>(false);
  return [=](std::span<RolloutGroup> groups, int n, const SamplingEvents& events) {
    try {
      return student(groups, n, events);
    } catch (const Stopped&) {
      throw;
    } catch (const std::invalid_argument&) {
      throw;  // a mistake in settings or data stays one
    } catch (const std::exception& error) {
      if (!std::exchange(*warned, true)) {
        spdlog::warn(
            "[rollout] the student cannot sample: {}; the teacher writes the samples "
            "of every round where that happens (rollout.fallback)",
            error.what());
      }
    }
    teacher(groups, n, events);
  };
}

}  // namespace pupil
