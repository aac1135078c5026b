#include "train/trainer.h"

#include <cmath>

#include "base/error.h"
#include "base/progress.h"
#include "base/stopwatch.h"
#include "train/loss_settings.h"
#include "train/reward_kl.h"
#include "train/schedule.h"
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

nlohmann::json to_json(const RunningBaseline& running) {
  auto json = nlohmann::json::object();
  for (const auto& [prompt, entry] : running.entries) {
    json[prompt] = {entry.mean, entry.count};
  }
  return json;
}

RunningBaseline running_of(const nlohmann::json& json) {
  RunningBaseline running;
  for (const auto& [prompt, entry] : json.items()) {
    running.entries[prompt] = {entry.at(0).get<double>(), entry.at(1).get<double>()};
  }
  return running;
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
      entropy_(entropy_control(config.train)) {}

void Trainer::resume() {
  auto state = run_.load(learner_);
  if (!state) return;
  learner_.restore(
      std::move(state->params),
      std::move(state->first),
      std::move(state->second),
      state->optimizer_step);
  step_ = saved_step_ = state->step;
  num_tokens_ = state->trainer.at("num_tokens").get<int64_t>();
  seconds_ = state->trainer.at("seconds").get<double>();
  evaluated_step_ = state->trainer.value("evaluated_step", step_);
  beta_ = state->trainer.value("beta", beta_);
  entropy_.coef = state->trainer.value("entropy_coef", entropy_.coef);
  auto last = state->trainer.value("last_entropy", nlohmann::json());
  if (last.is_number()) entropy_.last_entropy = last.get<double>();
  running_ = running_of(state->trainer.value("baselines", nlohmann::json::object()));
  run_.print("resumed at step " + std::to_string(step_));
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

// What is finished is not lost with what failed. Within a round there is nothing to go
// on from: its samples are gone. What failed is told; that this failed too goes to
// log.txt.
void Trainer::keep() {
  if (saved_step_ == step_ || step_ % config_.train.num_iterations != 0) return;
  try {
    save();
    run_.print("saved step " + std::to_string(step_));
  } catch (const std::exception& error) {
    run_.log(error.what());
  }
}

void Trainer::train() {
  const auto& train = config_.train;
  while (step_ < train.max_steps) {
    evaluate_if_due();  // the one that a resumed run was stopped in
    auto record = sample_round();
    auto running = running_;  // a round that fails leaves none of it
    set_advantages(record, running);
    auto batches = pack(record.groups, config_.batch);
    for (int i = 0; i < train.num_iterations && step_ < train.max_steps; ++i) {
      update(record, batches, i == 0);
      report(record, i == 0);
      record.seconds = {};
    }
    running_ = std::move(running);
    save_if_due();
    stop_if_asked();
  }
}

StepRecord Trainer::sample_round() {
  StepRecord record;
  record.reward_names = stages_.reward_names;
  record.with_kl = config_.train.beta.value() != 0;
  record.loss_config = policy_loss_config(config_.train);
  Stopwatch watch;
  record.groups = stages_.draw(step_ / config_.train.num_iterations);
  SamplingPlan plan{config_.num_generations, config_.batch.max_completion_length};
  sample_with_progress(stages_, record.groups, plan);
  record.seconds.generate = watch.lap();
  if (stages_.take_metrics) stages_.take_metrics();  // an evaluation's
  score_with_progress(stages_, record.groups, plan);
  if (stages_.take_metrics) record.more = stages_.take_metrics();
  record.seconds.score = watch.lap();
  record.logp_differences = unknown(record.groups);
  num_tokens_ += tokens_of(record.groups);
  return record;
}

void Trainer::set_advantages(StepRecord& record, RunningBaseline& running) {
  auto inputs = advantage_inputs(record.groups);
  if (record.with_kl && config_.train.kl_in_reward.value()) {
    Stopwatch watch;
    auto kl = reward_kl(learner_, record.groups, config_.batch);
    record.reward_kl = kl.per_token;
    for (size_t g = 0; g < inputs.rewards.size(); ++g) {
      for (size_t i = 0; i < inputs.rewards[g].size(); ++i) {
        auto& reward = inputs.rewards[g][i];
        if (reward) *reward -= beta_ * kl.sums[g][i];
      }
    }
    record.seconds.update += watch.lap();
  }
  auto advantages =
      config_.aggregation == Aggregation::normalize_then_sum
          ? normalize_then_sum(scores_of(record.groups), stages_.reward_weights)
          : advantages_of(
                inputs, baseline(config_.train), scale_rewards(config_.train), running);
  for (size_t g = 0; g < advantages.size(); ++g) {
    for (size_t i = 0; i < advantages[g].size(); ++i) {
      record.groups[g].rollouts[i].advantage = advantages[g][i];
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
  if (entropy_.enabled()) {
    const auto& policy = record.policy;
    entropy_.update(planned_entropy_.value_or(policy.per_token(policy.entropy)));
    record.entropy_coef = entropy_.coef;
  }
}

void Trainer::update(StepRecord& record, std::vector<Microbatch>& batches, bool first) {
  const auto& train = config_.train;
  Stopwatch watch;
  record.learning_rate = train.learning_rate * schedule_factor(
                                                   schedule_of(train.lr_scheduler_type),
                                                   step_,
                                                   train.warmup_steps,
                                                   train.max_steps);
  record.skipped = batches.empty();
  record.loss = record.grad_norm = 0;
  record.policy = {};
  try {
    forward_backward(record, batches, first);
    if (!record.skipped) {
      record.grad_norm = learner_.optim_step(record.learning_rate);
      adapt(record);
    }
  } catch (const NotFinite& error) {
    fail(error.what());
  }
  record.seconds.update += watch.lap();
  record.num_tokens = num_tokens_;
  record.step = ++step_;
  ++steps_here_;
  seconds_ += record.seconds.total();
  seconds_here_ += record.seconds.total();
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
  Progress progress("training", "completions", static_cast<int64_t>(rows));
  for (auto& batch : batches) {
    auto result = learner_.forward_backward(batch, totals);
    record.loss += result.loss;
    record.policy += result.metrics;
    for (size_t i = 0; first && i < batch.rows.size(); ++i) {
      record.logp_differences[batch.group][batch.rows[i]] = result.logp_differences[i];
    }
    progress.advance(static_cast<int64_t>(batch.rows.size()));
  }
  // Later iterations differ from the sampler on purpose.
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

void Trainer::report(const StepRecord& record, bool first) {
  auto row = metrics_row(record);
  run_.add_metrics(row);
  if (hooks_.on_metrics) hooks_.on_metrics(row);
  if (config_.logging.log_completions && first) run_.add_rollouts(rollout_rows(record));
  int max_steps = config_.train.max_steps;
  double eta_s = seconds_here_ / steps_here_ * (max_steps - step_);
  bool due = step_ % config_.logging.logging_steps == 0 || step_ == max_steps;
  if (due) run_.print(step_line(record, max_steps, eta_s));
  evaluate_if_due();
}

// Not after the last step: the report's evaluation follows.
void Trainer::evaluate_if_due() {
  int every = config_.train.eval_steps;
  bool due = every > 0 && step_ > 0 && step_ % every == 0;
  if (!due || step_ == evaluated_step_ || step_ >= config_.train.max_steps) return;
  if (hooks_.evaluate) hooks_.evaluate(step_);
  evaluated_step_ = step_;
}

void Trainer::save_if_due() {
  int every = config_.train.save_steps;
  if (step_ / every != saved_step_ / every) save();
}

// Tried once a step: a run that cannot save ends, as training on would only lose more.
void Trainer::save() {
  saved_step_ = step_;
  nlohmann::json state = {
      {"num_tokens", num_tokens_},
      {"seconds", seconds_},
      {"evaluated_step", evaluated_step_},
      {"beta", beta_},
      {"entropy_coef", entropy_.coef},
      {"last_entropy", entropy_.last_entropy},  // infinity, before the first, is null
      {"baselines", to_json(running_)}};
  run_.save(learner_, step_, state, config_.train.save_total_limit);
}

void Trainer::stop_if_asked() {
  if (!hooks_.stop_requested || !hooks_.stop_requested()) return;
  if (step_ >= config_.train.max_steps) return;  // done anyway
  if (saved_step_ != step_) save();
  throw Stopped(
      "[train] stopped at step " + std::to_string(step_) + ", all saved; go on with " +
      "--resume " + run_.path().string());
}

}  // namespace pupil
