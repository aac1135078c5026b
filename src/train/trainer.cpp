#include "train/trainer.h"

#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/stopwatch.h"
#include "train/kto_baseline.h"
#include "train/loss_settings.h"
#include "train/reward_kl.h"
#include "train/schedule.h"
#include "train/step_text.h"
#include "train/token_plan.h"

namespace pupil {

namespace {

AdvantageInputs advantage_inputs(std::span<const RolloutGroup> groups) {
  AdvantageInputs inputs;
  for (const auto& group : groups) {
    auto& rewards = inputs.rewards.emplace_back();
    auto& lengths = inputs.lengths.emplace_back();
    for (const auto& rollout : group.rollouts) {
      rewards.push_back(rollout.reward);
      lengths.push_back(static_cast<double>(rollout.completion.tokens.size()));
    }
    inputs.prompts.push_back(group.task.id);
  }
  return inputs;
}

// The scores of each rollout; of one without a reward, none.
std::vector<GroupScores> scores_of(std::span<const RolloutGroup> groups) {
  std::vector<GroupScores> scores;
  for (const auto& group : groups) {
    auto& rows = scores.emplace_back();
    for (const auto& rollout : group.rollouts) {
      auto& row = rows.emplace_back(rollout.scores.size());
      if (!rollout.reward) continue;
      for (size_t k = 0; k < row.size(); ++k) row[k] = rollout.scores[k].value;
    }
  }
  return scores;
}

int64_t tokens_of(std::span<const RolloutGroup> groups) {
  size_t tokens = 0;
  for (const auto& group : groups) {
    for (const auto& rollout : group.rollouts) {
      tokens += group.prompt.tokens.size() + rollout.completion.tokens.size();
    }
  }
  return static_cast<int64_t>(tokens);
}

// A table like the groups', of "unknown".
std::vector<std::vector<float>> unknown(std::span<const RolloutGroup> groups) {
  std::vector<std::vector<float>> table;
  for (const auto& group : groups) table.emplace_back(group.rollouts.size(), NAN);
  return table;
}

}  // namespace

Trainer::Trainer(
    Learner& learner,
    const Stages& stages,
    RunDir& run,
    const TrainerConfig& config,
    TrainerHooks hooks)
    : learner_(learner),
      stages_(stages),
      run_(run),
      config_(config),
      hooks_(std::move(hooks)),
      beta_(config.train.beta.value()),
      entropy_(entropy_control(config.train)) {
  config_.batch.all_groups = acts_on_all_rows(config.train);
}

void Trainer::run() {
  try {
    train();
    if (saved_step_ != step_) save();
  } catch (const std::exception& error) {
    run_.log(error.what());
    keep();
    throw;
  }
}

void Trainer::train() {
  round_start_ = step_;
  evaluate_if_due();  // the one that a resumed run was stopped in
  while (step_ < config_.train.max_steps && !stops_early()) {
    round_start_ = step_;
    train_round();
    evaluate_if_due();
    save_if_due();
    stop_if_asked();
  }
}

void Trainer::train_round() {
  const auto& train = config_.train;
  auto memory = memory_;  // a round that fails leaves none of it
  auto records = sample_or_stop(memory);
  std::vector<std::vector<Microbatch>> batches;
  for (const auto& record : records) {
    batches.push_back(pack(record.groups, config_.batch));
  }
  for (size_t s = 1; s < batches.size(); ++s) {
    for (auto& batch : batches[s]) learner_.fill_old_logprobs(batch);
  }
  for (int i = 0; i < train.num_iterations; ++i) {
    for (size_t s = 0; s < records.size() && step_ < train.max_steps; ++s) {
      update(records[s], batches[s], i == 0);
      bool last = i + 1 == train.num_iterations && s + 1 == records.size();
      if (last || step_ == train.max_steps) end_round(memory);
      report(records[s], i == 0);
      records[s].seconds = {};
    }
  }
}

// From here on a checkpoint may be written.
void Trainer::end_round(const RunMemory& memory) {
  memory_ = memory;
  round_start_ = step_;
}

// A stop costs the samples of the round at work. It is saved once they are gone, for
// the memory.
std::vector<StepRecord> Trainer::sample_or_stop(RunMemory& memory) {
  try {
    return sample(memory);
  } catch (const Stopped&) {
    stop_if_asked();
    throw;  // by something else, a budget say
  }
}

// One record for each step on fresh samples.
std::vector<StepRecord> Trainer::sample(RunMemory& memory) {
  const auto& train = config_.train;
  size_t steps = train.steps_per_generation, prompts = train.prompts_per_step;
  RoundPlan plan;
  plan.sampling = {config_.num_generations, config_.batch.max_completion_length};
  plan.num_prompts = steps * prompts;
  plan.dynamic_sampling = config_.dynamic_sampling;
  plan.by_function = config_.aggregation == Aggregation::normalize_then_sum;
  plan.on_progress = [this] {
    if (is_asked_to_stop()) throw Stopped("[train] stopped while sampling");
  };
  auto round = sample_round(stages_, plan, memory.draws);
  memory.num_tokens += tokens_of(round.groups) + tokens_of(round.replaced);
  StepRecord shared;
  shared.reward_names = stages_.reward_names;
  shared.with_kl = train.beta.value() != 0 && !preference_config(train);
  shared.sampled = !learns_from_file(train);
  shared.loss_config = policy_loss_config(train);
  shared.num_tokens = memory.num_tokens;
  set_advantages(round, shared, memory.baselines);
  shared.seconds = round.seconds / static_cast<double>(steps);
  std::vector<StepRecord> records(steps, shared);
  for (size_t g = 0; g < round.groups.size(); ++g) {
    auto& record = records[g * steps / round.groups.size()];
    record.groups.push_back(std::move(round.groups[g]));
  }
  records[0].replaced = std::move(round.replaced);
  records[0].more = std::move(round.more);
  for (auto& record : records) record.logp_differences = unknown(record.groups);
  return records;
}

void Trainer::set_advantages(
    Round& round, StepRecord& record, RunningBaseline& running) {
  auto inputs = advantage_inputs(round.groups);
  if (record.with_kl && config_.train.kl_in_reward.value()) {
    Stopwatch watch;
    auto kl = reward_kl(learner_, round.groups, config_.batch);
    record.reward_kl = kl.per_token;
    for (size_t g = 0; g < inputs.rewards.size(); ++g) {
      for (size_t i = 0; i < inputs.rewards[g].size(); ++i) {
        auto& reward = inputs.rewards[g][i];
        if (reward) *reward -= beta_ * kl.sums[g][i];
      }
    }
    round.seconds.update += watch.lap();
  }
  auto advantages =
      config_.aggregation == Aggregation::normalize_then_sum
          ? normalize_then_sum(scores_of(round.groups), stages_.reward_weights)
          : advantages_of(
                inputs, baseline(config_.train), scale_rewards(config_.train), running);
  for (size_t g = 0; g < advantages.size(); ++g) {
    for (size_t i = 0; i < advantages[g].size(); ++i) {
      round.groups[g].rollouts[i].advantage = advantages[g][i];
    }
  }
}

// Moves the weights of the KL and of the entropy bonus by what the step measured.
void Trainer::adapt(StepRecord& record) {
  const auto& train = config_.train;
  if (record.with_kl && train.kl_target > 0) {
    double kl = record.reward_kl.value_or(record.policy.per_token(record.policy.kl));
    double rollouts = static_cast<double>(record.groups.size()) *
                      config_.num_generations / train.num_iterations;
    beta_ = AdaptiveKl{train.kl_target, train.kl_horizon}.next(beta_, kl, rollouts);
    record.kl_coef = beta_;
  }
  if (entropy_.enabled() && !learner_.preference()) {
    const auto& policy = record.policy;
    double entropy = planned_entropy_.value_or(policy.per_token(policy.entropy));
    record.policy_loss = record.loss + entropy_.applied() * entropy;
    entropy_.update(entropy);
    record.entropy_coef = entropy_.coef;
  }
}

void Trainer::update(StepRecord& record, std::vector<Microbatch>& batches, bool first) {
  const auto& train = config_.train;
  Stopwatch watch;
  record.learning_rate =
      train.learning_rate *
      schedule_factor(schedule_config(train), step_, train.max_steps);
  record.skipped = batches.empty();
  record.loss = record.grad_norm = 0;
  record.policy_loss.reset();
  record.overflowed = false;
  record.policy = {};
  record.preference = {};
  try {
    forward_backward(record, batches, first);
    if (!record.skipped) step_optimizer(record);
    bool syncs = train.sync_ref_model && (step_ + 1) % train.ref_model_sync_steps == 0;
    if (syncs) learner_.sync_reference(train.ref_model_mixup_alpha);
  } catch (const NotFinite& error) {
    fail(error.what());
  }
  record.seconds.update += watch.lap();
  record.step = ++step_;
  ++steps_here_;
  seconds_ += record.seconds.total();
  seconds_here_ += record.seconds.total();
}

void Trainer::step_optimizer(StepRecord& record) {
  const auto& scale = learner_.loss_scale();
  if (scale) record.loss_scale = scale->scale;
  record.grad_norm = learner_.optim_step(record.learning_rate);
  record.overflowed = !std::isfinite(record.grad_norm);
  if (!record.overflowed) return adapt(record);
  run_.warn(
      "step " + std::to_string(step_ + 1) + ": float16 gradients overflowed at loss " +
      "scale " + std::to_string(std::lround(*record.loss_scale)) +
      "; nothing was changed but the scale, which is halved");
}

void Trainer::forward_backward(
    StepRecord& record, std::vector<Microbatch>& batches, bool first) {
  auto totals = totals_of(record.groups, config_.batch);
  size_t rows = 0;
  if (batches.empty()) return;
  for (const auto& batch : batches) rows += batch.rows.size();
  if (!config_.train.kl_in_reward.value()) learner_.set_beta(beta_);
  learner_.set_entropy_coef(entropy_.applied());
  planned_entropy_.reset();
  if (needs_token_plan(learner_.loss())) {
    auto choice = covariance_choice(config_.train);
    auto plan = plan_tokens(learner_, batches, totals, choice, step_);
    totals = plan.totals;
    planned_entropy_ = plan.entropy;
  }
  const auto& preference = learner_.preference();
  if (preference && !preference->has_pairs()) {
    totals.kl_baseline = kto_baseline(learner_, record.groups, config_.batch);
    record.reward_kl = totals.kl_baseline;
  }
  Progress progress("training", "completions", static_cast<int64_t>(rows));
  for (auto& batch : batches) {
    auto result = learner_.forward_backward(batch, totals);
    record.loss += result.loss;
    record.policy += result.metrics;
    record.preference += result.preference;
    for (size_t i = 0; first && i < batch.rows.size(); ++i) {
      record.logp_differences[batch.group][batch.rows[i]] = result.logp_differences[i];
    }
    progress.advance(static_cast<int64_t>(batch.rows.size()));
  }
  if (first) check_agreement(record.policy);
}

void Trainer::check_agreement(const PolicyMetrics& metrics) {
  double mean = metrics.mean_logp_difference(),
         bound = config_.train.max_logp_difference;
  if (mean <= bound) return;  // false for NaN
  learner_.clear_gradient();
  fail(
      "trainer and sampler disagree by " + std::to_string(mean) +
      " nats a token on average, allowed are " + std::to_string(bound) +
      " (train.max_logp_difference)");
}

void Trainer::fail(const std::string& what) {
  keep();  // so that the message names the newest checkpoint
  throw std::runtime_error(
      "[train] step " + std::to_string(step_ + 1) + ": " + what +
      "; the weights were not changed; last checkpoint: " + run_.last_checkpoint());
}

void Trainer::report(StepRecord& record, bool first) {
  if (hooks_.peak_memory)
    record.peak_memory_gb = 1e-9 * static_cast<double>(hooks_.peak_memory());
  auto row = metrics_row(record);
  run_.add_metrics(row);
  if (hooks_.on_metrics) hooks_.on_metrics(row);
  if (config_.logging.log_completions && first) run_.add_rollouts(rollout_rows(record));
  int max_steps = config_.train.max_steps;
  double eta_s = seconds_here_ / steps_here_ * (max_steps - step_);
  bool due = step_ % config_.logging.logging_steps == 0 || step_ == max_steps;
  if (due) run_.print(step_line(record, max_steps, eta_s));
  run_.add_histogram("histograms/ratio", record.step, record.policy.ratios);
  if (first) add_to_tensorboard(record);
  if (!first || !record.sampled) return;
  for (const auto& line : advice_.add(row)) run_.warn(line);
}

// What a round has that is no number of a row.
void Trainer::add_to_tensorboard(const StepRecord& record) {
  std::vector<double> rewards;
  for (const auto& group : record.groups) {
    for (const auto& reward : rewards_of(group)) {
      if (reward) rewards.push_back(*reward);
    }
  }
  run_.add_histogram("histograms/reward", record.step, rewards);
  bool due = record.step % config_.logging.logging_steps == 0;
  if (due && config_.logging.log_completions)
    run_.add_text("completions", record.step, completions_markdown(record));
}

// Between rounds, so that the best has a checkpoint. Not after the last step: the
// report's evaluation follows.
void Trainer::evaluate_if_due() {
  const auto& train = config_.train;
  if (train.eval_steps == 0 || !hooks_.evaluate || step_ >= train.max_steps) return;
  if (step_ / train.eval_steps == evaluated_step_ / train.eval_steps) return;
  auto row = hooks_.evaluate(step_);
  evaluated_step_ = step_;
  if (row.is_null()) return;
  run_.add_metrics(row);
  auto metric = metric_of(row, train.metric_for_best_model);
  bool is_best = metric && best_.add(*metric, step_, train.early_stopping_threshold);
  if (is_best && saved_step_ != step_) try_to_save();
  if (is_best && saved_step_ == step_) best_saved_ = best_;
  if (stops_early()) {
    run_.print(
        "stopped early: " + train.metric_for_best_model + " was not better than " +
        json_text(nlohmann::json(*best_.value)) + ", of step " +
        std::to_string(best_.step) + ", in " + std::to_string(best_.without_progress) +
        " evaluations");
  }
}

bool Trainer::stops_early() const {
  int patience = config_.train.early_stopping_patience;
  return patience > 0 && best_.without_progress >= patience;
}

}  // namespace pupil
