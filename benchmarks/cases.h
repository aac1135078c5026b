// A case: one primitive on one size, beside the same in plain MLX operations.

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mlx/mlx.h"
#include "work.h"

namespace pupil::bench {

namespace mx = mlx::core;

using Arrays = std::vector<mx::array>;

/// Describes one call, on inputs that exist; whoever asked evaluates what it returns.
using Call = std::function<Arrays()>;

/// Makes the inputs of copy number `copy` and the call on them. A case that is bound by
/// memory runs over copies that fill more than the caches, as a model's layers do.
using MakeCall = std::function<Call(int copy)>;

struct Case {
  std::string name;
  Work work;  // of one call
  MakeCall ours;
  MakeCall fallback;           // empty: none that ends in reasonable time
  bool slow_fallback = false;  // so slow that one copy and three repetitions do
};

/// All cases, in the order in which they were added.
const std::vector<Case>& cases();

/// Registers the case and, under `fallback_name`, its fallback.
void add_case(Case c);

std::string fallback_name(const std::string& case_name);

using Op = std::function<Arrays(const Arrays&)>;

/// Both sides as functions of the same inputs.
struct OpCase {
  std::string name;
  Work work;
  std::function<Arrays()> inputs;  // new ones for each copy
  Op ours, fallback;
  int differentiated = 0;  // not 0: time the gradients to so many leading inputs
  bool slow_fallback = false;
};
void add_op(const OpCase& c);

/// The call op(inputs), or the one that gives the gradients to the first
/// `differentiated` inputs.
Call call_of(const Op& op, const Arrays& inputs, int differentiated = 0);

/// New numbers, uniform in [-1, 1), evaluated.
mx::array numbers(const mx::Shape& shape, mx::Dtype type = mx::float32);

/// `count` new ids in [0, end), int32, evaluated.
mx::array ids(int count, int end);

}  // namespace pupil::bench
