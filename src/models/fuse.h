// An adapter added into the weights that it was trained on: `pupil fuse`.

#pragma once

#include <map>
#include <string>

#include "models/convert.h"

namespace pupil {

struct FuseOptions {
  std::string model;    // the directory of the model that the adapter was trained on
  std::string adapter;  // mlx-lm's layout or PEFT's: LoRA, DoRA or whole weights
  std::string to;       // the new model directory
  bool dequantize = false;  // unpack all; else a packed weight is packed again, alike
  Existing existing = Existing::refuse;
};

/// Lengths (Frobenius) of what happened to the weights of one kind of module, squared.
struct FuseMove {
  int modules = 0;
  double weights = 0;  // as they were
  double adapter = 0;  // what the adapter adds to them
  double packing = 0;  // how far packing moved the sum; 0 for dense weights

  /// Relative to the weights, and of packing to what the adapter adds.
  double effect() const;
  double loss() const;
  FuseMove& operator+=(const FuseMove& other);
};

struct FuseSummary {
  std::map<std::string, FuseMove> moves;  // by kind: "q_proj"
  FuseMove total() const;
};

/// Writes the model with W + scale (A B)^T in place of W, of DoRA with rows of the
/// learnt lengths, computed in float32. All other tensors stay as they are.
/// Throws std::invalid_argument for a model or an adapter that is wrong or does not
/// fit, std::runtime_error when it cannot write; then nothing is left behind.
FuseSummary fuse_model(const FuseOptions& options, const ConvertProgress& progress);

}  // namespace pupil
