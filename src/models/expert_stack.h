// Hugging Face's tensors of single experts as the stacked ones that mlx-lm writes.

#pragma once

#include <vector>

#include "models/model_source.h"

namespace pupil {

/// In place of "...mlp.experts.<i>.up_proj.weight" [out, in] of `count` experts:
/// "...mlp.switch_mlp.up_proj.weight" [count, out, in]. A set that is not complete
/// stays as it is, and has no place in a model.
void stack_experts(std::vector<SourceTensor>& tensors, int count);

}  // namespace pupil
