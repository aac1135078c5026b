// The optimizer's arithmetic on lists of arrays, all of a list in one pass.
//
// These run at once and return when all is computed, unlike other operations: a graph
// would hold the arrays, and then none could be overwritten.

#pragma once

#include <vector>

#include "mlx/mlx.h"
#include "ops/cpu/adamw_types.h"

namespace pupil {

namespace mx = mlx::core;

using AdamWStep = cpu::AdamWStep;

/// What a step moves: float32 arrays, of one shape at one place of each list.
struct AdamWState {
  std::vector<mx::array>& params;
  std::vector<mx::array>& first;   // the moments
  std::vector<mx::array>& second;  // of the squares
};

/// One step (cpu/adamw_types.h). Memory that nobody else holds is overwritten: that of
/// the moments, for the parameters their own or else the gradient's, so a step in a
/// program that gives its gradients away allocates nothing. Arrays that others hold
/// stay as they are. The same bits for any number of threads.
void adamw_step(
    const AdamWState& state, std::vector<mx::array> grads, const AdamWStep& step);

/// The definition, in plain MLX ops.
void adamw_step_fallback(
    const AdamWState& state, std::vector<mx::array> grads, const AdamWStep& step);

/// sqrt of the sum of all squares; 0 of no arrays. Squares are float32 and are summed
/// so in pieces of 8192, pieces in float64 and in order.
float global_norm(const std::vector<mx::array>& arrays);

/// The definition, in plain MLX ops: sums are float32.
float global_norm_fallback(const std::vector<mx::array>& arrays);

}  // namespace pupil
