// Which of a run's evaluations was best, and whether they still get better.

#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace pupil {

/// As Hugging Face's EarlyStoppingCallback counts: larger is better, and better by no
/// more than the threshold does not start the count again.
struct BestEvaluation {
  std::optional<double> value;  // none: there was no evaluation yet
  int step = 0;                 // its
  int without_progress = 0;     // evaluations in a row

  /// Takes the evaluation at `step` in. True: it is the best.
  bool add(double metric, int at_step, double threshold);
};

/// The number of an evaluation's row that `name` means, with or without "eval_"; none
/// where it is null. Throws std::invalid_argument if the row has no such metric.
std::optional<double> metric_of(
    const nlohmann::ordered_json& row, const std::string& name);

/// For a checkpoint, and back.
nlohmann::json to_json(const BestEvaluation& best);
BestEvaluation best_evaluation_of(const nlohmann::json& json);

}  // namespace pupil
