// Correction for a sampler whose probabilities differ from the trainer's.

#pragma once

#include <optional>
#include <string_view>

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

enum class CorrectionMode {
  token_truncate,
  token_mask,
  sequence_truncate,
  sequence_mask
};

/// Of TRL's `vllm_importance_sampling_mode`. Throws std::invalid_argument on another.
CorrectionMode sampler_correction_mode(std::string_view name);

struct SamplerCorrection {
  CorrectionMode mode = CorrectionMode::sequence_mask;
  std::optional<double> least = {};
  std::optional<double> most = 3.0;
  bool by_sequence() const {
    return mode == CorrectionMode::sequence_truncate ||
           mode == CorrectionMode::sequence_mask;
  }
};

/// w = exp(old_logprobs - sampler_logprobs) of each token, or of their sum over the
/// sequence; outside of [least, most] it is the bound (truncate) or 0 (mask). A NaN of
/// the sampler counts as no difference. [N, T] each -> [N, T], of sequences [N, 1]; no
/// gradient.
mx::array sampler_importance(
    const mx::array& old_logprobs,
    const mx::array& sampler_logprobs,
    const mx::array& mask,
    const SamplerCorrection& correction);

}  // namespace pupil
