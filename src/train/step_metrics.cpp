#include "train/step_metrics.h"

#include <algorithm>
#include <cmath>

#include "train/agreement.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

// Null, not NaN: the row must stay JSON.
Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

template <class F>
void for_each_rollout(const StepRecord& record, F&& f) {
  for (const auto& group : record.groups) {
    for (const auto& rollout : group.rollouts) f(rollout);
  }
}

void add_lengths(
    Json& row, const std::string& name, const std::vector<double>& lengths) {
  auto [least, most] = std::minmax_element(lengths.begin(), lengths.end());
  double sum = 0;
  for (double length : lengths) sum += length;
  bool none = lengths.empty();  // TRL reports zeros then
  row["completions/mean_" + name] =
      none ? 0.0 : sum / static_cast<double>(lengths.size());
  row["completions/min_" + name] = none ? 0.0 : *least;
  row["completions/max_" + name] = none ? 0.0 : *most;
}

void add_completions(Json& row, const StepRecord& record) {
  std::vector<double> all, ended;
  double missing = 0, by_teacher = 0;
  for_each_rollout(record, [&](const Rollout& r) {
    by_teacher += r.source == Source::teacher;
    missing += !r.missing.empty();
    if (!r.missing.empty()) return;
    all.push_back(static_cast<double>(r.completion.tokens.size()));
    if (r.completion.finish == FinishReason::stop) ended.push_back(all.back());
  });
  add_lengths(row, "length", all);
  double cut = static_cast<double>(all.size() - ended.size());
  row["completions/clipped_ratio"] =
      all.empty() ? 0.0 : cut / static_cast<double>(all.size());
  add_lengths(row, "terminated_length", ended);
  double asked = static_cast<double>(all.size()) + missing;
  row["completions/missing"] = missing;
  row["rollout/source"] = asked > 0 ? by_teacher / asked : 0.0;
}

void add_scores(Json& row, const StepRecord& record) {
  for (size_t k = 0; k < record.reward_names.size(); ++k) {
    GroupRewards scores;
    for_each_rollout(record, [&](const Rollout& r) {
      scores.push_back(k < r.scores.size() ? r.scores[k].value : std::nullopt);
    });
    auto spread = spread_of(scores);
    auto name = "rewards/" + record.reward_names[k];
    row[name + "/mean"] = number(spread.count ? spread.mean : NAN);
    row[name + "/std"] = number(spread.count ? spread.std : NAN);
    row[name + "/unscored"] = scores.size() - spread.count;
  }
}

void add_rewards(Json& row, const StepRecord& record) {
  GroupRewards all;
  double dead = 0;
  for (const auto& group : record.groups) {
    auto rewards = rewards_of(group);
    dead += !has_spread(rewards);
    all.insert(all.end(), rewards.begin(), rewards.end());
  }
  auto spread = spread_of(all);
  double groups = std::max<double>(1.0, static_cast<double>(record.groups.size()));
  row["reward"] = number(spread.count ? spread.mean : NAN);
  row["reward_std"] = number(spread.count ? spread.std : NAN);
  row["frac_reward_zero_std"] = dead / groups;
  row["unscored"] = all.size() - spread.count;
}

void add_policy(Json& row, const StepRecord& record) {
  const auto& p = record.policy;
  bool any = p.num_tokens > 0;  // nothing trained: nothing measured
  row["entropy"] = number(any ? p.per_token(p.entropy) : NAN);
  if (record.with_kl || record.reward_kl) {
    row["kl"] = number(record.reward_kl.value_or(any ? p.per_token(p.kl) : NAN));
  }
  for (const auto& [name, value] : preference_metrics(record.preference)) {
    row[name] = number(value);
  }
  if (record.kl_coef) row["kl_coef"] = *record.kl_coef;
  if (record.entropy_coef) row["entropy_coef"] = *record.entropy_coef;
  for (const auto& [name, value] : clip_metrics(p, record.loss_config)) {
    row[name] = std::isfinite(value) ? value : 0.0;
  }
  row["sampling/sampling_logp_difference/mean"] = number(p.mean_logp_difference());
  row["sampling/sampling_logp_difference/max"] = number(p.logp_difference_max);
  if (p.num_importance == 0) return;
  row["sampling/importance_sampling_ratio/min"] = p.importance_min;
  row["sampling/importance_sampling_ratio/mean"] = p.importance / p.num_importance;
  row["sampling/importance_sampling_ratio/max"] = p.importance_max;
}

// Of replaced groups, too.
double completion_tokens(const StepRecord& record) {
  double tokens = 0;
  for (const auto* groups : {&record.groups, &record.replaced}) {
    for (const auto& group : *groups) {
      for (const auto& r : group.rollouts) {
        tokens += static_cast<double>(r.completion.tokens.size());
      }
    }
  }
  return tokens;
}

double wasted_share(const StepRecord& record) {
  double sampled = completion_tokens(record);
  return sampled > 0 ? 1 - record.policy.num_tokens / sampled : 0;
}

double per_second(double amount, double seconds) {
  return seconds > 0 ? amount / seconds : 0;
}

void add_completion(Json& row, const Rollout& r) {
  bool there = r.missing.empty();
  row["source"] = r.source == Source::student ? "student" : "teacher";
  row["completion"] = there ? Json(r.completion.text) : Json(nullptr);
  row["tokens"] = r.completion.tokens.size();
  auto finish = r.completion.finish == FinishReason::stop ? "stop" : "length";
  row["finish_reason"] = there ? Json(finish) : Json(nullptr);
  if (!there) row["missing"] = r.missing;
}

Json rollout_row(const StepRecord& record, const RolloutGroup& group, size_t i) {
  const auto& r = group.rollouts[i];
  Json row = {{"step", record.step}, {"task", group.task.id}, {"row", i}};
  row["prompt"] = group.task.prompt;
  add_completion(row, r);
  for (size_t k = 0; k < r.scores.size() && k < record.reward_names.size(); ++k) {
    const auto& score = r.scores[k];
    row["scores"][record.reward_names[k]] =
        score.value ? Json(*score.value) : Json(nullptr);
    if (!score.reason.empty()) row["reasons"][record.reward_names[k]] = score.reason;
  }
  row["reward"] = r.reward ? Json(*r.reward) : Json(nullptr);
  row["advantage"] = r.advantage;
  return row;
}

}  // namespace

Json metrics_row(const StepRecord& record) {
  Json row;
  row["step"] = record.step;
  row["loss"] = number(record.loss);
  if (record.policy_loss) row["policy_loss"] = number(*record.policy_loss);
  row["grad_norm"] = number(record.grad_norm);
  row["learning_rate"] = record.learning_rate;
  add_rewards(row, record);
  add_scores(row, record);
  add_agreements(row, record.groups, record.reward_names);
  add_policy(row, record);
  add_completions(row, record);
  row["rollout/replaced_groups"] = record.replaced.size();
  row["rollout/wasted_tokens"] = wasted_share(record);
  row["num_tokens"] = record.num_tokens;
  row["skipped"] = record.skipped;
  if (record.loss_scale) {
    row["loss_scale"] = *record.loss_scale;
    row["overflowed"] = record.overflowed;
  }
  if (record.peak_memory_gb > 0) row["memory/peak_gb"] = record.peak_memory_gb;
  row["step_time"] = record.seconds.total();
  row["time/generate"] = record.seconds.generate;
  row["time/score"] = record.seconds.score;
  row["time/update"] = record.seconds.update;
  row["speed/generate"] =
      per_second(completion_tokens(record), record.seconds.generate);
  row["speed/update"] = per_second(record.policy.num_tokens, record.seconds.update);
  for (const auto& [name, value] : record.more) row[name] = number(value);
  return row;
}

GroupRewards rewards_of(const RolloutGroup& group) {
  GroupRewards rewards;
  for (const auto& r : group.rollouts) rewards.push_back(r.reward);
  return rewards;
}

std::vector<Json> rollout_rows(const StepRecord& record) {
  std::vector<Json> rows;
  for (size_t g = 0; g < record.groups.size(); ++g) {
    const auto& group = record.groups[g];
    for (size_t i = 0; i < group.rollouts.size(); ++i) {
      rows.push_back(rollout_row(record, group, i));
      rows.back()["logp_difference"] = number(record.logp_differences[g][i]);
    }
  }
  for (const auto& group : record.replaced) {
    for (size_t i = 0; i < group.rollouts.size(); ++i) {
      rows.push_back(rollout_row(record, group, i));
      rows.back()["replaced"] = true;
    }
  }
  return rows;
}

}  // namespace pupil
