// From TrainConfig to the settings of the loss: the method's row fills in what the user
// left unset.

#pragma once

#include "algo/advantage.h"
#include "algo/entropy.h"
#include "algo/policy_loss.h"
#include "algo/preference_loss.h"
#include "algo/sampler_correction.h"
#include "algo/token_choice.h"
#include "train/schedule.h"
#include "train/train_config.h"

namespace pupil {

/// `config` with every loss setting present: the user's own, else the method's. As
/// written to the run's config.yaml. An unset `epsilon_high` follows a set `epsilon`,
/// as in TRL. Throws std::invalid_argument on an unknown method, or on settings that
/// exclude each other.
TrainConfig resolve_method(TrainConfig config);

/// Of a resolved config.
/// With `kl_in_reward` the loss has no KL term.
PolicyLossConfig policy_loss_config(const TrainConfig& resolved);
EntropyControl entropy_control(const TrainConfig& resolved);
CovarianceChoice covariance_choice(const TrainConfig& resolved);
std::optional<SamplerCorrection> sampler_correction(const TrainConfig& resolved);
/// None where `method` is none of preferences.
std::optional<PreferenceConfig> preference_config(const TrainConfig& resolved);
ScheduleConfig schedule_config(const TrainConfig& config);
/// Whether the policy is compared with a reference.
bool has_reference(const TrainConfig& resolved);
/// Whether a group with equal rewards has advantages.
bool learns_without_spread(const TrainConfig& resolved);
/// Whether the loss acts on rows without an advantage, too, as TRL's does on all: a KL
/// term, an entropy bonus, a choice among the step's tokens.
bool acts_on_all_rows(const TrainConfig& resolved);
Baseline baseline(const TrainConfig& resolved);
ScaleRewards scale_rewards(const TrainConfig& resolved);

/// Whether `train.method` learns from the lines of `data.train` (data/lesson_file.h).
bool learns_from_file(const TrainConfig& train);

}  // namespace pupil
