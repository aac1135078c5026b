// A policy loss on given numbers, with TRL's names: one request, one answer.

#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace pupil {

/// `line`: an object with `logprobs`, `old_logprobs` (unset: the current ones, held),
/// `ref_logprobs`, `entropies`, `sampling_logprobs`, `mask`, `tool_mask` [B][T],
/// `advantages` [B], `num_items_in_batch` (unset: tokens of this mask) and GRPOConfig's
/// settings; for the loss types clip_cov and kl_cov, to which the line is a whole step,
/// also `cov_share`, `clip_cov_low`, `clip_cov_high` and `kl_cov_coef` of
/// docs/config.md. `importance_sampling_level` also takes "sequence_sum", the ratio of
/// RLOOTrainer. Answers `loss`, `grad_logprobs` [B][T], 0 where masked, and
/// `metrics` under TRL's names. The loss is policy_loss(), divided as TRL divides a
/// microbatch's. Throws std::invalid_argument naming the field.
nlohmann::ordered_json answer_loss(const std::string& line);

/// `line`: an object with `rewards` [groups][num_generations] or
/// [groups][num_generations][functions], null where unscored, and GRPOConfig's
/// `num_generations`, `scale_rewards`, `multi_objective_aggregation`, `reward_weights`.
/// Answers `advantages` [groups][num_generations], null where no function scored.
nlohmann::ordered_json answer_advantages(const std::string& line);

}  // namespace pupil
