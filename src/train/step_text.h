// What a person reads of a step.

#pragma once

#include <string>

#include "train/step_metrics.h"

namespace pupil {

/// What is printed for a step, two lines of about 100 columns: what was learned, and
/// what it cost. The shares are of the step's time. `eta_s`: time left, in seconds.
std::string step_line(const StepRecord& record, int max_steps, double eta_s);

/// The best and the worst completion of the step in Markdown, for TensorBoard.
std::string completions_markdown(const StepRecord& record);

}  // namespace pupil
