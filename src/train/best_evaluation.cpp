#include "train/best_evaluation.h"

#include <stdexcept>

#include "base/quote.h"

namespace pupil {

bool BestEvaluation::add(double metric, int at_step, double threshold) {
  bool progress = !value || metric > *value + threshold;
  without_progress = progress ? 0 : without_progress + 1;
  bool is_best = !value || metric > *value;
  if (is_best) value = metric, step = at_step;
  return is_best;
}

std::optional<double> metric_of(
    const nlohmann::ordered_json& row, const std::string& name) {
  auto key = name.starts_with("eval_") ? name : "eval_" + name;
  if (auto found = row.find(key); found != row.end()) {
    return found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
  }
  std::string known;
  for (const auto& [other, value] : row.items()) {
    if (other.starts_with("eval_")) known += (known.empty() ? "" : ", ") + other;
  }
  throw std::invalid_argument(
      "[train] train.metric_for_best_model: an evaluation has no " + in_quotes(key) +
      "; it has " + known);
}

nlohmann::json to_json(const BestEvaluation& best) {
  if (!best.value) return nullptr;
  return {
      {"value", *best.value},
      {"step", best.step},
      {"without_progress", best.without_progress}};
}

BestEvaluation best_evaluation_of(const nlohmann::json& json) {
  if (json.is_null()) return {};
  return {
      json.at("value").get<double>(),
      json.at("step").get<int>(),
      json.at("without_progress").get<int>()};
}

}  // namespace pupil
