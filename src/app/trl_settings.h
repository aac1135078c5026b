// TRL's settings of a request as the settings of policy_loss().

#pragma once

#include <optional>

#include "algo/entropy.h"
#include "algo/policy_loss.h"
#include "algo/sampler_correction.h"
#include "app/trl_request.h"

namespace pupil {

/// Each throws std::invalid_argument naming the field.
PolicyLossConfig policy_loss_config_of(const TrlRequest& request);
EntropyControl entropy_control_of(const TrlRequest& request);

/// None: the request wants none.
std::optional<SamplerCorrection> sampler_correction_of(const TrlRequest& request);

/// The divisors of one microbatch of TRL's: the step's, if it had as many equal
/// microbatches as `gradient_accumulation_steps`.
StepTotals microbatch_totals_of(
    const TrlRequest& request,
    const PolicyLossInputs& in,
    const PolicyLossConfig& config);

/// TRL's metric policy_loss is taken before the division by the accumulation steps.
double policy_loss_scale(const TrlRequest& request);

/// Mean entropy of the tokens that the entropy bonus acts on.
double kept_entropy(const PolicyLossInputs& in, const StepTotals& totals);

}  // namespace pupil
