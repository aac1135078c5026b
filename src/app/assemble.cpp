#include "app/assemble.h"

#include <spdlog/spdlog.h>

#include <stdexcept>
#include <utility>

#include "app/reward_table.h"
#include "base/error.h"
#include "base/random.h"
#include "data/task_order.h"
#include "data/tasks.h"
#include "models/adapters.h"
#include "ops/cpu/thread_pool.h"
#include "reward/teacher.h"
#include "train/loss_settings.h"

namespace pupil {

namespace {

// Evaluation's random streams are none of training's.
constexpr uint64_t kEvalKeys = 1ull << 62;

Config resolved(Config config) {
  config.train = resolve_method(config.train);
  return config;
}

Model student_of(const Config& config) {
  try {
    return load_model(config.hardware.mlx_model_path);
  } catch (const std::exception& error) {
    if (config.teacher.provider == "none") throw;
    throw std::invalid_argument(
        std::string(error.what()) +
        "; a teacher can write samples (rollout.fallback), but this model is the "
        "student to be trained: set hardware.mlx_model_path");
  }
}

Model loaded_model(const Config& config) {
  choose_hardware(config.hardware);
  auto model = student_of(config);
  if (config.model.adapter_path) {
    load_adapters(model.decoder, *config.model.adapter_path);
  } else {
    attach_lora(model.decoder, config.lora, config.seed);
  }
  return model;
}

std::vector<Message> chat_of(const Task& task, const Config& config) {
  std::vector<Message> messages;
  if (config.model.system_prompt) {
    messages.push_back({"system", *config.model.system_prompt});
  }
  messages.push_back({"user", task.prompt});
  return messages;
}

AskedTask asked(Task task, const Model& model, const Config& config) {
  auto tokens = model.tokenizer.chat_ids(chat_of(task, config), true);
  auto limit = static_cast<size_t>(config.rollout.max_prompt_length);
  if (tokens.size() > limit) {
    throw std::invalid_argument(
        "[data] task " + task.id + ": its prompt has " + std::to_string(tokens.size()) +
        " tokens, rollout.max_prompt_length is " + std::to_string(limit));
  }
  return {std::move(task), std::move(tokens)};
}

std::vector<AskedTask> read_tasks(
    const std::string& path, const Model& model, const Config& config) {
  std::vector<AskedTask> tasks;
  for (auto& task : load_tasks(path, config.data.limit)) {
    tasks.push_back(asked(std::move(task), model, config));
  }
  return tasks;
}

RolloutGroup group_of(const AskedTask& asked, uint64_t key) {
  return {{asked.tokens, key}, asked.task, {}};
}

void fill(std::span<RolloutGroup> groups, std::vector<std::vector<Completion>> all) {
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].rollouts.clear();
    for (auto& completion : all[g]) {
      groups[g].rollouts.emplace_back().completion = std::move(completion);
    }
  }
}

void generate_by_student(
    const Session& session,
    std::span<RolloutGroup> groups,
    int n,
    const OnSampled& on_sampled) {
  std::vector<Prompt> prompts;
  for (const auto& group : groups) prompts.push_back(group.prompt);
  auto sampling = sampling_config(session.config);
  std::vector<int> lengths(prompts.size() * n);
  auto on_token = [&](int prompt, int row, int, bool last) {
    int length = ++lengths[prompt * n + row];
    if (on_sampled) on_sampled(1, last ? sampling.max_tokens - length : 0);
  };
  fill(groups, generate(session.model, prompts, n, sampling, on_token));
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
  if (answer.text) rollout.completion = as_completion(answer, session);
  return rollout;
}

void generate_by_teacher(
    const Session& session,
    std::span<RolloutGroup> groups,
    int n,
    const OnSampled& /*asked all at once*/) {
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

std::vector<RolloutGroup> draw(const Session& session, uint64_t round) {
  const auto& config = session.config;
  auto per_step = static_cast<size_t>(config.train.prompts_per_step);
  TaskOrder order{
      config.seed, config.data.shuffle, session.train_tasks.size(), per_step};
  std::vector<RolloutGroup> groups;
  for (size_t index : tasks_of_step(order, round)) {
    groups.push_back(
        group_of(session.train_tasks[index], round * per_step + groups.size()));
  }
  return groups;
}

GenerateFn bound(const Session& session, decltype(generate_by_student) generate) {
  return [&session, generate](auto groups, int n, const OnSampled& on_sampled) {
    generate(session, groups, n, on_sampled);
  };
}

[[noreturn]] void teacher_is_needed(const std::string& key) {
  throw std::invalid_argument(
      "[config] " + key + " needs a teacher; set teacher.provider");
}

// Who writes the samples to learn from.
GenerateFn writer_of(const Session& session) {
  const auto& config = session.config;
  bool has_teacher = session.teacher != nullptr;
  if (!config.hardware.use_mlx_for_generation) {
    if (!has_teacher) teacher_is_needed("hardware.use_mlx_for_generation: false");
    return bound(session, generate_by_teacher);
  }
  const auto& fallback = config.rollout.fallback;
  if (fallback == "teacher" && !has_teacher)
    teacher_is_needed("rollout.fallback: teacher");
  auto student = bound(session, generate_by_student);
  if (fallback == "error" || !has_teacher) return student;
  return with_fallback(student, bound(session, generate_by_teacher));
}

Stages stages_of(const Session& session, GenerateFn generate) {
  Stages stages;
  for (const auto& function : session.rewards)
    stages.reward_names.push_back(function.name);
  stages.draw = [&session](uint64_t round) { return draw(session, round); };
  stages.generate = std::move(generate);
  stages.score = [&session](std::span<RolloutGroup> groups, const OnScored& on_scored) {
    score_groups(session.rewards, groups, on_scored);
  };
  return stages;
}

}  // namespace

Session::Session(const Config& given)
    : config(resolved(given)),
      model(loaded_model(config)),
      train_tasks(read_tasks(config.data.train, model, config)),
      teacher(make_teacher(config)),
      rewards(make_rewards(config, teacher)),
      stages(stages_of(*this, writer_of(*this))),
      eval_stages(stages_of(*this, bound(*this, generate_by_student))) {
  if (config.data.eval) eval_tasks = read_tasks(*config.data.eval, model, config);
}

GenerateFn with_fallback(GenerateFn student, GenerateFn teacher) {
  auto warned = std::make_shared<bool>(false);
  return [=](std::span<RolloutGroup> groups, int n, const OnSampled& on_sampled) {
    try {
      return student(groups, n, on_sampled);
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
    teacher(groups, n, on_sampled);
  };
}

std::vector<RolloutGroup> Session::eval_groups() const {
  std::vector<RolloutGroup> groups;
  for (const auto& task : eval_tasks) {
    groups.push_back(group_of(task, kEvalKeys + groups.size()));
  }
  return groups;
}

TrainerConfig trainer_config(const Config& resolved) {
  TrainerConfig config;
  config.train = resolved.train;
  config.logging = resolved.logging;
  config.num_generations = resolved.rollout.num_generations;
  config.batch.max_tokens = resolved.train.max_tokens_per_microbatch;
  config.batch.max_completion_length = resolved.rollout.max_completion_length;
  config.batch.mask_truncated_completions = resolved.train.mask_truncated_completions;
  return config;
}

LearnerConfig learner_config(const Config& resolved) {
  LearnerConfig config;
  config.loss = policy_loss_config(resolved.train);
  config.temperature = resolved.rollout.temperature;
  config.reuse_samples = resolved.train.num_iterations > 1;
  config.optimizer.weight_decay = resolved.train.weight_decay;
  config.max_grad_norm = resolved.train.max_grad_norm;
  return config;
}

SamplingConfig sampling_config(const Config& config) {
  SamplingConfig sampling;
  const auto& rollout = config.rollout;
  sampling.truncation = {
      rollout.temperature, rollout.top_k, rollout.top_p, rollout.min_p};
  sampling.max_tokens = rollout.max_completion_length;
  sampling.stop = rollout.stop;
  sampling.seed = config.seed;
  return sampling;
}

void choose_hardware(const HardwareConfig& config) {
  if (config.device == "gpu" && !mx::is_available(mx::Device::gpu)) {
    throw std::invalid_argument(
        "[config] hardware.device: this MLX has no GPU; set cpu or auto");
  }
  if (config.device == "cpu") mx::set_default_device(mx::Device::cpu);
  if (config.device == "gpu") mx::set_default_device(mx::Device::gpu);
  if (config.threads > 0) cpu::set_num_threads(config.threads);
}

}  // namespace pupil
