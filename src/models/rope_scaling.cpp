#include "models/rope_scaling.h"

#include <cmath>
#include <numbers>

#include "models/json_fields.h"

namespace pupil {

namespace {

std::vector<double> plain_periods(double theta, int head_dim) {
  std::vector<double> periods;
  for (int i = 0; i < head_dim; i += 2) {
    periods.push_back(std::pow(theta, static_cast<double>(i) / head_dim));
  }
  return periods;
}

// Llama 3.1's: long wavelengths are stretched by `factor`, short ones kept, those
// between blended (transformers, modeling_rope_utils: llama3).
void scale_llama3(std::vector<double>& periods, const JsonFields& fields) {
  double factor = fields.number("factor", 1, 1e4);
  double low = fields.number("low_freq_factor", 1e-3, 1e4);
  double high = fields.number("high_freq_factor", 1e-3, 1e4);
  double original = fields.number("original_max_position_embeddings", 1, 1e9);
  if (high <= low) fields.fail("high_freq_factor must be above low_freq_factor");
  for (auto& period : periods) {
    double turns = original / (2 * std::numbers::pi * period);  // over the old context
    double blend = std::min(1.0, std::max(0.0, (turns - low) / (high - low)));
    period = 1.0 / ((1 - blend) / (factor * period) + blend / period);
  }
}

}  // namespace

std::vector<float> read_rope_periods(
    const nlohmann::json& config, int head_dim, const std::string& source) {
  JsonFields top(config, source);
  const auto* both = top.find("rope_parameters");
  const auto* scaling = both ? both : top.find("rope_scaling");
  static const nlohmann::json kNone = nlohmann::json::object();
  JsonFields fields(scaling ? *scaling : kNone, source + ": rope scaling");

  double theta = top.number("rope_theta", 1, 1e12, 10000.0);
  theta = fields.number("rope_theta", 1, 1e12, theta);
  auto periods = plain_periods(theta, head_dim);
  auto type = fields.string("rope_type", fields.string("type", "default"));
  if (type == "linear") {
    double factor = fields.number("factor", 1, 1e4);
    for (auto& period : periods) period *= factor;
  } else if (type == "llama3") {
    scale_llama3(periods, fields);
  } else if (type != "default") {
    fields.fail("type '" + type + "' is not supported; known: default, linear, llama3");
  }
  return {periods.begin(), periods.end()};
}

}  // namespace pupil
