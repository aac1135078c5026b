#include "app/assemble.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "app/lessons.h"
#include "app/local_judge.h"
#include "app/machine.h"
#include "app/reward_table.h"
#include "app/rollout_worker.h"
#include "app/samples.h"
#include "base/random.h"
#include "data/curriculum.h"
#include "data/task_order.h"
#include "data/tasks.h"
#include "models/adapters.h"
#include "ops/cpu/thread_pool.h"
#include "reward/teacher.h"
#include "train/loss_settings.h"

namespace pupil {

namespace {

bool judges_locally(const Config& config) {
  return config.teacher.provider == "local";
}

// Made before the model is loaded: a missing key costs no loading. A local judge needs
// the model and comes later.
std::shared_ptr<Teacher> remote_teacher(const Config& config) {
  return judges_locally(config) ? nullptr : make_teacher(config);
}

void expect_folder(const std::string& key, const std::optional<std::string>& path) {
  if (!path || std::filesystem::is_directory(*path)) return;
  throw std::invalid_argument(
      "[config] model." + key + ": expected a folder, found none at " + *path);
}

void check_reference(const Config& config) {
  if (!config.model.ref_model_path && !config.model.ref_adapter_path) return;
  if (config.train.sync_ref_model) {
    throw std::invalid_argument(
        "[config] train.sync_ref_model: a reference of its own does not move; unset "
        "model.ref_model_path and model.ref_adapter_path, or set it to false");
  }
  if (!has_reference(config.train)) {
    throw std::invalid_argument(
        "[config] model.ref_model_path, model.ref_adapter_path: train.method " +
        config.train.method +
        " asks for no reference; set train.beta above 0, or unset them");
  }
  expect_folder("ref_model_path", config.model.ref_model_path);
  expect_folder("ref_adapter_path", config.model.ref_adapter_path);
}

// Each function is normalised within its group and the sum over the batch, as in TRL:
// neither a KL in the reward nor another baseline has a place there.
void check_aggregation(const Config& config) {
  const auto& train = config.train;
  bool apart = config.reward.aggregation == "normalize_then_sum";
  if (!apart || learns_from_file(train)) return;
  auto refuse = [&](const std::string& what, const std::string& way_out) {
    throw std::invalid_argument(
        "[config] reward.aggregation: normalize_then_sum has no " + what +
        ", which train.method " + train.method + " or the config asks for; " + way_out +
        ", or set reward.aggregation to sum_then_normalize");
  };
  bool kl_in_reward = *train.kl_in_reward && *train.beta != 0;
  if (kl_in_reward && !preference_config(train))
    refuse("KL in the reward", "set train.kl_in_reward to false or train.beta to 0");
  if (*train.baseline != "group")
    refuse("train.baseline " + *train.baseline, "set it to group");
}

Model student_of(const Config& config) {
  try {
    return load_model(config.hardware.mlx_model_path);
  } catch (const std::exception& error) {
    const auto& provider = config.teacher.provider;
    if (provider == "none" || provider == "local") throw;
    throw std::invalid_argument(
        std::string(error.what()) +
        "; a teacher can write samples (rollout.fallback), but this model is the "
        "student to be trained: set hardware.mlx_model_path");
  }
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

std::vector<AskedTask> training_tasks(const Model& model, const Config& config) {
  if (learns_from_file(config.train)) return {};
  return read_tasks(config.data.train, model, config);
}

RolloutGroup group_of(const AskedTask& asked, uint64_t key) {
  return {{asked.tokens, key}, asked.task, {}};
}

std::vector<size_t> tasks_to_draw(
    const Session& session, uint64_t first, size_t count, const TaskRecords& records) {
  const auto& config = session.config;
  const auto& tasks = session.train_tasks;
  auto curriculum = curriculum_of(config.data.curriculum);
  if (curriculum == Curriculum::none) {
    TaskOrder order{config.seed, config.data.shuffle, tasks.size()};
    return tasks_in_order(order, first, count);
  }
  std::vector<std::string> ids;
  for (const auto& asked : tasks) ids.push_back(asked.task.id);
  return choose_tasks(curriculum, ids, records, config.seed, first, count);
}

std::vector<RolloutGroup> draw(
    const Session& session, uint64_t first, size_t count, const TaskRecords& records) {
  std::vector<RolloutGroup> groups;
  for (size_t index : tasks_to_draw(session, first, count, records)) {
    groups.push_back(group_of(session.train_tasks[index], first + groups.size()));
  }
  return groups;
}

// A judge that is asked over the network works while the student still writes.
decltype(Stages::begin_score) begin_judging_of(const Session& session) {
  for (const auto& function : session.rewards) {
    if (function.name != "teacher") continue;
    return [teacher = session.teacher, share = function.share](
               const RolloutGroup& group,
               std::span<const Completion> finished,
               bool whole) {
      if (!is_looked_at(group, share)) return;
      std::vector<Sample> samples;
      for (const auto& completion : finished)
        samples.push_back({&group.task, &completion});
      teacher->begin_judging(samples, whole);
    };
  }
  return {};
}

Stages stages_of(const Session& session, GenerateFn generate) {
  Stages stages;
  for (const auto& function : session.rewards) {
    stages.reward_names.push_back(function.name);
    stages.reward_weights.push_back(function.weight);
  }
  stages.draw = [&session](uint64_t first, size_t count, const TaskRecords& records) {
    return draw(session, first, count, records);
  };
  stages.generate = std::move(generate);
  stages.score = [&session](std::span<RolloutGroup> groups, const OnScored& on_scored) {
    score_groups(session.rewards, groups, on_scored);
  };
  stages.begin_score = begin_judging_of(session);
  if (auto teacher = session.teacher)
    stages.take_metrics = [teacher] { return teacher->take_metrics(); };
  return stages;
}

LogitRules logit_rules(const RuleConfig& config) {
  LogitRules rules{
      config.repetition_penalty,
      config.presence_penalty,
      config.frequency_penalty,
      {},
      config.min_tokens};
  for (const auto& [token, bias] : config.logit_bias) rules.logit_bias[token] += bias;
  return rules;
}

}  // namespace

Config resolved(Config config) {
  config.train = resolve_method(config.train);
  const auto& baseline = config.train.baseline;
  if (config.rollout.dynamic_sampling > 0 && learns_without_spread(config.train)) {
    throw std::invalid_argument(
        "[config] rollout.dynamic_sampling: train.baseline " + *baseline +
        " learns from equal rewards too; set it to 0");
  }
  bool evaluates = config.train.eval_steps > 0 && config.data.eval;
  if (config.train.early_stopping_patience > 0 && !evaluates) {
    throw std::invalid_argument(
        "[config] train.early_stopping_patience: nothing is evaluated on the way; set "
        "train.eval_steps and data.eval, or set it to 0");
  }
  check_reference(config);
  check_aggregation(config);
  optimizer_config(config.train);  // throws before a run directory is made
  return config;
}

Model loaded_model(const Config& config) {
  choose_hardware(config.hardware);
  auto model = student_of(config);
  if (config.model.adapter_path) {
    load_adapters(model.decoder, *config.model.adapter_path);
  } else {
    attach_lora(model.decoder, config.lora, config.seed);
  }
  model.decoder.kv_bits = kv_bits_of(config);
  return model;
}

int kv_bits_of(const Config& config) {
  int bits = config.rollout.room.kv_bits;
  if (bits == 0 || bits == 8) return bits;
  throw std::invalid_argument(
      "[config] rollout.kv_bits: expected 0 or 8, got " + std::to_string(bits));
}

Session::Session(const Config& given)
    : config(resolved(given)),
      teacher(remote_teacher(config)),
      model(loaded_model(config)),
      worker(rollout_worker(config, model)),
      train_tasks(training_tasks(model, config)) {
  if (judges_locally(config))
    teacher = make_teacher(config, local_judge(config.teacher, model));
  rewards = make_rewards(config, teacher);
  stages = learns_from_file(config.train) ? lesson_stages(config, model)
                                          : stages_of(*this, training_samples(*this));
  eval_stages = stages_of(*this, student_samples(*this));
  if (config.data.eval) eval_tasks = read_tasks(*config.data.eval, model, config);
}

std::vector<RolloutGroup> Session::eval_groups() const {
  std::vector<RolloutGroup> groups;
  for (const auto& task : eval_tasks) {
    groups.push_back(group_of(task, eval_key(groups.size())));
  }
  return groups;
}

uint64_t eval_key(size_t index) {
  return (uint64_t{1} << 62) + index;
}

TrainerConfig trainer_config(const Config& resolved) {
  TrainerConfig config;
  config.train = resolved.train;
  config.logging = resolved.logging;
  config.num_generations = resolved.rollout.num_generations;
  config.dynamic_sampling = resolved.rollout.dynamic_sampling;
  if (!learns_from_file(resolved.train)) {
    config.aggregation = aggregation_of(resolved.reward.aggregation);
  }
  config.batch.max_tokens = resolved.train.max_tokens_per_microbatch;
  config.batch.max_completion_length = resolved.rollout.max_completion_length;
  auto preference = preference_config(resolved.train);
  config.batch.pairs = preference && preference->has_pairs();
  config.batch.top_k_samples = resolved.train.top_k_samples;
  config.batch.mask_truncated_completions = resolved.train.mask_truncated_completions;
  return config;
}

int64_t activation_budget() {
  auto free = available_memory_bytes().value_or(total_memory_bytes() / 2);
  uint64_t limit = mx::get_memory_limit(), held = held_memory_bytes();
  return static_cast<int64_t>(std::min(free, limit > held ? limit - held : 0) / 2);
}

LearnerConfig learner_config(const Config& resolved) {
  LearnerConfig config;
  const auto& checkpointing = resolved.train.gradient_checkpointing;
  if (checkpointing != "auto") config.gradient_checkpointing = checkpointing == "on";
  config.activation_budget = activation_budget();
  config.loss = policy_loss_config(resolved.train);
  config.correction = sampler_correction(resolved.train);
  config.preference = preference_config(resolved.train);
  bool sampled = !learns_from_file(resolved.train);
  config.temperature = sampled ? resolved.rollout.temperature : 1.0f;
  config.reuse_samples = resolved.train.num_iterations > 1;
  config.optimizer = optimizer_config(resolved.train);
  config.ema_decay = resolved.train.ema_decay;
  config.dropout_seed = resolved.seed;
  config.has_reference = has_reference(resolved.train);
  config.starts_as_reference = resolved.model.adapter_path.has_value();
  const auto& scaling = resolved.train.loss_scaling;
  if (scaling != "auto") config.loss_scaling = scaling == "on";
  config.loss_scale_window = resolved.train.loss_scale_window;
  config.max_grad_norm = resolved.train.max_grad_norm;
  config.max_grad_value = resolved.train.max_grad_value;
  return config;
}

std::shared_ptr<const Decoder> own_reference(const Session& session) {
  const auto& paths = session.config.model;
  const auto& student = session.model.decoder;
  if (!paths.ref_model_path && !paths.ref_adapter_path) return nullptr;
  auto model = paths.ref_model_path ? load_decoder(*paths.ref_model_path)
                                    : without_lora(student);
  if (model.config.vocab_size != student.config.vocab_size) {
    throw std::invalid_argument(
        "[model] " + *paths.ref_model_path + ": expected the student's vocabulary of " +
        std::to_string(student.config.vocab_size) + " tokens, got " +
        std::to_string(model.config.vocab_size));
  }
  if (paths.ref_adapter_path) load_adapters(model, *paths.ref_adapter_path);
  model.kv_bits = student.kv_bits;
  return std::make_shared<const Decoder>(std::move(model));
}

SamplingConfig sampling_config(const Config& config) {
  SamplingConfig sampling;
  const auto& rollout = config.rollout;
  sampling.truncation = {
      rollout.temperature, rollout.top_k, rollout.top_p, rollout.min_p};
  sampling.max_tokens = rollout.max_completion_length;
  sampling.rules = logit_rules(rollout.rules);
  sampling.stop = rollout.stop;
  sampling.max_rows = rollout.room.max_rows;
  sampling.cache_bytes = rollout.room.cache_memory_mb > 0
                             ? int64_t{rollout.room.cache_memory_mb} << 20
                             : std::max<int64_t>(1, activation_budget());
  sampling.prefill_chunk = rollout.room.prefill_chunk;
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
  limit_memory(config.memory_limit_gb);
}

}  // namespace pupil
