#include "app/memory_report.h"

#include <algorithm>

#include "app/lessons.h"
#include "app/machine.h"
#include "train/loss_settings.h"

namespace pupil {

namespace {

int longest(const std::vector<AskedTask>& tasks) {
  size_t most = 0;
  for (const auto& task : tasks) most = std::max(most, task.tokens.size());
  return static_cast<int>(most);
}

// Lines of a file are learned one by one, pairs two by two, packed ones as many as a
// step has; nothing is sampled.
StepSizes lesson_sizes(const Session& session) {
  const auto& config = session.config;
  StepSizes sizes;
  if (trainer_config(config).batch.pairs) sizes.group_rows = 2;
  if (packs_lessons(config)) sizes.group_rows = config.train.prompts_per_step;
  sizes.new_tokens = longest_lesson(config, session.model);
  return sizes;
}

StepSizes sampling_sizes(const Session& session) {
  const auto& config = session.config;
  int group = config.rollout.num_generations;
  int prompts = config.train.prompts_per_step * config.train.steps_per_generation;
  int rows = prompts * group, of_prompt = group;
  if (!session.eval_tasks.empty()) {
    int samples = config.train.eval_samples;
    rows = std::max(rows, static_cast<int>(session.eval_tasks.size()) * samples);
    of_prompt = std::min(of_prompt, samples);
  }
  StepSizes sizes;
  sizes.decoding_rows = std::min(rows, rows_at_once(config.rollout.room.max_rows));
  sizes.decoding_prompts = std::max(1, sizes.decoding_rows / of_prompt);
  sizes.group_rows = group;
  sizes.prompt_tokens =
      std::max(longest(session.train_tasks), longest(session.eval_tasks));
  sizes.new_tokens = config.rollout.max_completion_length;
  return sizes;
}

// Lessons are not sampled.
std::string rows_text(int rows) {
  return rows > 0 ? " for " + std::to_string(rows) + " rows" : "";
}

}  // namespace

StepSizes step_sizes(const Session& session) {
  const auto& config = session.config;
  auto sizes =
      learns_from_file(config.train) ? lesson_sizes(session) : sampling_sizes(session);
  sizes.microbatch_tokens = config.train.max_tokens_per_microbatch;
  return sizes;
}

void choose_microbatch(Session& session) {
  int& tokens = session.config.train.max_tokens_per_microbatch;
  if (tokens != 0) return;
  auto learner = learner_config(session.config);
  tokens = fitting_microbatch(
      session.model.decoder,
      step_sizes(session),
      learner.gradient_checkpointing,
      learner.activation_budget);
}

MemoryPlan memory_plan(const Session& session, int64_t update_bytes) {
  auto sizes = step_sizes(session);
  auto learner = learner_config(session.config);
  auto plan = plan_memory(
      session.model.decoder,
      sizes,
      update_bytes,
      held_memory_bytes(),
      learner.gradient_checkpointing,
      learner.activation_budget);
  plan.samples_apart = session.worker != nullptr;
  plan.decoding_rows = sizes.decoding_rows;
  return plan;
}

std::string memory_text(const MemoryPlan& plan) {
  bool apart = plan.samples_apart;
  std::string text =
      "memory: at most " + gigabytes_text(plan.peak()) + " of " +
      gigabytes_text(mx::get_memory_limit()) + " (" + gigabytes_text(plan.held) +
      (apart ? " held by each of two processes, optimizer " : " held, optimizer ") +
      gigabytes_text(plan.optimizer) + (apart ? ", sampling " : ", then sampling ") +
      gigabytes_text(plan.sampling) + rows_text(plan.decoding_rows) +
      (apart ? ", activations " : " or activations ") +
      gigabytes_text(plan.activations);
  return text + (plan.recomputes ? ", blocks computed again)" : ")");
}

std::string memory_warning(const MemoryPlan& plan) {
  uint64_t limit = mx::get_memory_limit();
  if (plan.peak() <= limit) return "";
  return "[memory] a step may take " + gigabytes_text(plan.peak()) +
         ", more than the limit of " + gigabytes_text(limit) +
         " (hardware.memory_limit_gb): lower train.max_tokens_per_microbatch, "
         "rollout.max_completion_length or rollout.num_generations, or set "
         "train.gradient_checkpointing to on";
}

}  // namespace pupil
