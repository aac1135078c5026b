// What a `loss_type` is made of: a surrogate of one token and a way to average tokens.

#pragma once

#include <array>
#include <string>
#include <string_view>

namespace pupil {

/// The objective of one token; see algo/surrogates.h.
enum class Surrogate {
  clipped,
  cispo,
  sapo,
  vespo,
  gmpo,
  clip_cov,
  kl_cov,
  likelihood
};

/// How token losses become one number; see policy_loss().
enum class Aggregate { sequence_mean, token_mean, constant, sequence_sum };

struct LossType {
  std::string_view name;
  Surrogate surrogate;
  Aggregate aggregate;
};

/// The first eight are TRL's. bnpo and dapo are one formula when the whole step is the
/// batch.
inline constexpr std::array kLossTypes = {
    LossType{"grpo", Surrogate::clipped, Aggregate::sequence_mean},
    LossType{"bnpo", Surrogate::clipped, Aggregate::token_mean},
    LossType{"dr_grpo", Surrogate::clipped, Aggregate::constant},
    LossType{"dapo", Surrogate::clipped, Aggregate::token_mean},
    LossType{"luspo", Surrogate::clipped, Aggregate::sequence_sum},
    LossType{"cispo", Surrogate::cispo, Aggregate::token_mean},
    LossType{"sapo", Surrogate::sapo, Aggregate::sequence_mean},
    LossType{"vespo", Surrogate::vespo, Aggregate::token_mean},
    LossType{"gmpo", Surrogate::gmpo, Aggregate::sequence_mean},
    LossType{"clip_cov", Surrogate::clip_cov, Aggregate::token_mean},
    LossType{"kl_cov", Surrogate::kl_cov, Aggregate::token_mean},
    LossType{"reinforce", Surrogate::likelihood, Aggregate::token_mean},
};

/// "grpo|bnpo|...", for messages and config choices.
inline constexpr std::string_view kLossTypeNames =
    "grpo|bnpo|dr_grpo|dapo|luspo|cispo|sapo|vespo|gmpo|clip_cov|kl_cov|reinforce";

/// Throws std::invalid_argument on an unknown name.
const LossType& loss_type_of(std::string_view name);

}  // namespace pupil
