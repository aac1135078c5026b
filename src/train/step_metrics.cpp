#include "train/step_metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "algo/advantage.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

// Null, not NaN: the row must stay JSON.
Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

GroupRewards rewards_of(const RolloutGroup& group) {
  GroupRewards rewards;
  for (const auto& r : group.rollouts) rewards.push_back(r.reward);
  return rewards;
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
  for_each_rollout(record, [&](const Rollout& r) {
    all.push_back(static_cast<double>(r.completion.tokens.size()));
    if (r.completion.finish == FinishReason::stop) ended.push_back(all.back());
  });
  add_lengths(row, "length", all);
  double cut = static_cast<double>(all.size() - ended.size());
  row["completions/clipped_ratio"] =
      all.empty() ? 0.0 : cut / static_cast<double>(all.size());
  add_lengths(row, "terminated_length", ended);
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
  if (record.with_kl) row["kl"] = number(any ? p.per_token(p.kl) : NAN);
  row["clip_ratio/low_mean"] = p.per_token(p.clipped_low);
  row["clip_ratio/low_min"] = std::isfinite(p.low_min) ? p.low_min : 0.0;
  row["clip_ratio/high_mean"] = p.per_token(p.clipped_high);
  row["clip_ratio/high_max"] = p.high_max;
  row["clip_ratio/region_mean"] = p.per_token(p.clipped_low + p.clipped_high);
  row["sampling/sampling_logp_difference/mean"] = number(p.mean_logp_difference());
  row["sampling/sampling_logp_difference/max"] = number(p.logp_difference_max);
}

double completion_tokens(const StepRecord& record) {
  double tokens = 0;
  for_each_rollout(record, [&](const Rollout& r) {
    tokens += static_cast<double>(r.completion.tokens.size());
  });
  return tokens;
}

double per_second(double amount, double seconds) {
  return seconds > 0 ? amount / seconds : 0;
}

std::string duration(double seconds) {
  char text[32];
  long s = std::lround(seconds);
  if (s >= 3600)
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  else
    std::snprintf(text, sizeof text, "%ld:%02ld", s / 60, s % 60);
  return text;
}

}  // namespace

Json metrics_row(const StepRecord& record) {
  Json row;
  row["step"] = record.step;
  row["loss"] = number(record.loss);
  row["grad_norm"] = number(record.grad_norm);
  row["learning_rate"] = record.learning_rate;
  add_rewards(row, record);
  add_scores(row, record);
  add_policy(row, record);
  add_completions(row, record);
  row["num_tokens"] = record.num_tokens;
  row["skipped"] = record.skipped;
  row["step_time"] = record.seconds.total();
  row["time/generate"] = record.seconds.generate;
  row["time/score"] = record.seconds.score;
  row["time/update"] = record.seconds.update;
  row["speed/generate"] =
      per_second(completion_tokens(record), record.seconds.generate);
  row["speed/update"] = per_second(record.policy.num_tokens, record.seconds.update);
  return row;
}

std::vector<Json> rollout_rows(const StepRecord& record) {
  std::vector<Json> rows;
  for (size_t g = 0; g < record.groups.size(); ++g) {
    const auto& group = record.groups[g];
    for (size_t i = 0; i < group.rollouts.size(); ++i) {
      const auto& r = group.rollouts[i];
      Json row = {{"step", record.step}, {"task", group.task.id}, {"row", i}};
      row["prompt"] = group.task.prompt;
      row["completion"] = r.completion.text;
      row["tokens"] = r.completion.tokens.size();
      row["finish_reason"] =
          r.completion.finish == FinishReason::stop ? "stop" : "length";
      for (size_t k = 0; k < r.scores.size() && k < record.reward_names.size(); ++k) {
        const auto& score = r.scores[k];
        row["scores"][record.reward_names[k]] =
            score.value ? Json(*score.value) : Json(nullptr);
        if (!score.reason.empty())
          row["reasons"][record.reward_names[k]] = score.reason;
      }
      row["reward"] = r.reward ? Json(*r.reward) : Json(nullptr);
      row["advantage"] = r.advantage;
      row["logp_difference"] = number(record.logp_differences[g][i]);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::string step_line(const StepRecord& record, int max_steps, double eta_s) {
  auto row = metrics_row(record);
  auto value = [&](const char* name) {
    return row[name].is_number() ? row[name].get<double>() : NAN;
  };
  char text[512];
  int length = std::snprintf(
      text,
      sizeof text,
      "step %d/%d  reward %.3f +- %.3f  loss %.4f  grad %.3f  entropy %.2f  clip %.3f  "
      "length %.0f  sample %.0f tok/s  train %.0f tok/s  %.1f s (%.1f + %.1f + %.1f)  "
      "left %s",
      record.step,
      max_steps,
      value("reward"),
      value("reward_std"),
      record.loss,
      record.grad_norm,
      value("entropy"),
      value("clip_ratio/region_mean"),
      value("completions/mean_length"),
      value("speed/generate"),
      value("speed/update"),
      record.seconds.total(),
      record.seconds.generate,
      record.seconds.score,
      record.seconds.update,
      duration(eta_s).c_str());
  std::string line(text, std::min<size_t>(length, sizeof text - 1));
  if (record.with_kl) line += "  kl " + std::to_string(value("kl"));
  if (auto unscored = row["unscored"].get<size_t>()) {
    line += "  unscored " + std::to_string(unscored);
  }
  if (record.skipped) line += "  skipped: no group with a spread of rewards";
  return line;
}

}  // namespace pupil
