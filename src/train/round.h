// A round of sampling: scored completions of fresh prompts, and of others in the place
// of those that teach nothing.

#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "train/stages.h"
#include "train/step_metrics.h"

namespace pupil {

struct RoundPlan {
  SamplingPlan sampling;
  size_t num_prompts = 4;
  int dynamic_sampling = 0;  // refills, at most
  bool by_function = false;  // a group teaches if any one function's scores differ
  std::function<void()> on_progress;  // called all the time; may throw to end it
};

/// What drawing depends on and leaves behind. Part of a run's state.
struct DrawState {
  uint64_t drawn = 0;  // prompts
  TaskRecords records;
};

struct Round {
  std::vector<RolloutGroup> groups;    // [num_prompts]
  std::vector<RolloutGroup> replaced;  // sampled and scored as well, but learned
                                       // nothing from
  PhaseSeconds seconds;
  std::vector<std::pair<std::string, double>> more;  // Stages::take_metrics
};

/// Draws, samples and scores; then up to `dynamic_sampling` times draws other prompts
/// for the groups whose rewards are all equal (DAPO section 3.2, arXiv:2503.14476, with
/// a bound). Whoever is left without a spread then stays.
/// `state` moves on and gets the new pass rates: of the function `tests`, else of the
/// reward, cut to [0, 1]; it is of no use where something throws.
Round sample_round(const Stages& stages, const RoundPlan& plan, DrawState& state);

}  // namespace pupil
