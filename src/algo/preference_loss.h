// Losses of preferences: this answer rather than that one, or good and bad ones. Pure
// functions of log-probabilities, with TRL's formulas (DPOTrainer, CPOTrainer and
// KTOTrainer, 1.16), averaged over the whole optimizer step as in algo/policy_loss.h.
//
// Shapes: N completions in the microbatch, T completion tokens, right padded.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "algo/policy_loss.h"

namespace pupil {

enum class Preference { dpo, ipo, simpo, kto };

/// Of `train.method`; online_dpo is dpo. None: it is no method of preferences.
std::optional<Preference> preference_of(std::string_view method);

struct PreferenceConfig {
  Preference type = Preference::dpo;
  double beta = 0.1;
  double label_smoothing = 0;  // dpo, simpo: share of pairs that may be the wrong way
  double simpo_gamma = 1.0;    // the margin asked for, after beta
  double desirable_weight = 1, undesirable_weight = 1;  // kto

  bool has_pairs() const { return type != Preference::kto; }
  bool needs_reference() const { return type != Preference::simpo; }
};

struct PreferenceInputs {
  mx::array logprobs;                     // [N, T] policy, nats, differentiated
  std::optional<mx::array> ref_logprobs;  // [N, T] reference
  mx::array advantages;                   // [N] above 0: the good ones
  mx::array mask;                         // [N, T] float32, 1 on tokens of the loss
};

struct PreferenceLoss {
  mx::array loss;     // scalar float32, to minimise
  mx::array rewards;  // [N] beta times the score, no gradient
};

/// With the score s = sum_t log p - log p_ref of a completion, or for simpo the mean of
/// log p over its tokens, and the margin d = s_good - s_bad of a pair:
///   dpo    -log sigmoid(beta d)              arXiv:2305.18290, eq. 7
///   ipo    (d / tokens - 1 / (2 beta))^2     arXiv:2310.12036, eq. 17
///          where each score is divided by its own number of tokens
///   simpo  -log sigmoid(beta d - gamma)      arXiv:2405.14734, eq. 6
///   kto    w (1 - sigmoid(+-beta (s - z)))   arXiv:2402.01306, z = totals.kl_baseline
///          with + and w = desirable_weight for the good ones
/// label_smoothing e: (1 - e) l(d) + e l(-d). The loss is the mean over the step's
/// pairs (num_sequences / 2), kto's over its completions. A microbatch of pairs is one
/// pair. Throws std::invalid_argument if it is not, or if the reference is missing.
PreferenceLoss preference_loss(
    const PreferenceInputs& in,
    const PreferenceConfig& config,
    const StepTotals& totals);

/// Sums over a step's completions. Addition of two is the step's sum.
struct PreferenceMetrics {
  double good = 0, bad = 0;  // how many
  double good_rewards = 0, bad_rewards = 0;
  double good_logps = 0, bad_logps = 0;
  double pairs = 0, accurate = 0;  // pairs whose good one has the higher reward

  PreferenceMetrics& operator+=(const PreferenceMetrics& other);
};

PreferenceMetrics measure_preference(
    const PreferenceInputs& in, const PreferenceLoss& loss, bool has_pairs);

/// TRL's names: `rewards/chosen`, `rewards/rejected`, `rewards/margins`,
/// `rewards/accuracies` (of pairs), `logps/chosen`, `logps/rejected`; those that exist.
std::vector<std::pair<std::string, double>> preference_metrics(
    const PreferenceMetrics& metrics);

}  // namespace pupil
