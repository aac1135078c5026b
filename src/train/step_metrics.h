// What a step was like, under TRL's metric names, as one row of metrics.jsonl.

#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "algo/advantage.h"
#include "algo/policy_metrics.h"
#include "algo/preference_loss.h"
#include "data/types.h"
#include "train/train_config.h"

namespace pupil {

struct PhaseSeconds {
  double generate = 0, score = 0, update = 0;
  double total() const { return generate + score + update; }
  PhaseSeconds operator/(double n) const {
    return {generate / n, score / n, update / n};
  }
};

/// Everything that is reported about one optimizer step.
struct StepRecord {
  int step = 0;                                // from 1
  std::vector<RolloutGroup> groups, replaced;  // see Round
  std::vector<std::string> reward_names;
  double loss = 0;
  std::optional<double> policy_loss;  // without the entropy bonus, where there is one
  double grad_norm = 0;
  double learning_rate = 0;
  bool skipped = false;              // nothing to learn from: no update
  bool overflowed = false;           // no update, as float16 gradients overflowed
  std::optional<double> loss_scale;  // of this step, where there is one
  bool with_kl = false;
  bool sampled = true;                 // not: answers that were given
  std::optional<double> reward_kl;     // nats a token, where the KL is in the reward
  std::optional<double> kl_coef;       // beta, where it moves
  std::optional<double> entropy_coef;  // where there is an entropy bonus
  PolicyLossConfig loss_config;        // says which of the policy's metrics there are
  PolicyMetrics policy;
  PreferenceMetrics preference;
  std::vector<std::vector<float>> logp_differences;  // [groups][rollouts], NaN unknown
  int64_t num_tokens = 0;  // prompts and completions since the run began
  PhaseSeconds seconds;
  double peak_memory_gb = 0;  // of the process so far; 0: not known
  std::vector<std::pair<std::string, double>> more;  // Stages::take_metrics
};

/// The rewards of a group's rollouts, in order.
GroupRewards rewards_of(const RolloutGroup& group);

/// TRL's names; besides them `unscored` (rollouts without a reward),
/// `rewards/<name>/unscored`, `agreement/*` (train/agreement.h), `teacher/*`,
/// `completions/missing` (that nobody wrote, left out of the lengths), `rollout/source`
/// (0: the student's samples, 1: the teacher's, or the share of these),
/// `rollout/replaced_groups` (by dynamic sampling), `rollout/wasted_tokens` (the share
/// of sampled tokens that nothing was learned from), `skipped`,
/// `loss_scale` (of the step, train/loss_scale.h), `overflowed`, `memory/peak_gb`,
/// `time/*` in seconds and `speed/*` in tokens a second. A mean over nothing is null.
nlohmann::ordered_json metrics_row(const StepRecord& record);

/// One row of rollouts.jsonl for each rollout; those of replaced groups are marked.
std::vector<nlohmann::ordered_json> rollout_rows(const StepRecord& record);

}  // namespace pupil
