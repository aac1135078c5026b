#include "models/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "models/json_fields.h"

namespace pupil {

namespace {

using Periods = std::vector<double>;

constexpr double kMostPositions = 1 << 24;

Periods plain_periods(double theta, int dims) {
  Periods periods;
  for (int i = 0; i < dims; i += 2) {
    periods.push_back(std::pow(theta, static_cast<double>(i) / dims));
  }
  return periods;
}

// Llama 3.1's: long wavelengths are stretched by `factor`, short ones kept, those
// between blended (transformers, modeling_rope_utils: llama3).
void scale_llama3(Periods& periods, const JsonFields& fields) {
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

// The longest sequence before the model was stretched.
double original_positions(const JsonFields& fields, const JsonFields& top) {
  double positions = top.number("max_position_embeddings", 1, kMostPositions, 2048);
  positions =
      top.number("original_max_position_embeddings", 1, kMostPositions, positions);
  return fields.number(
      "original_max_position_embeddings", 1, kMostPositions, positions);
}

// YaRN (arXiv:2309.00071): dimensions that turn often over the old context are kept,
// those that turn seldom stretched, those between blended by a ramp.
void scale_yarn(Periods& periods, const JsonFields& fields, double theta, double old) {
  if (theta <= 1) fields.fail("rope_theta: expected a number above 1 with yarn");
  double factor = fields.number("factor", 1, 1e4);
  double dims = 2.0 * static_cast<double>(periods.size());
  auto dimension = [&](double turns) {
    return dims * std::log(old / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(theta));
  };
  double low = dimension(fields.number("beta_fast", 1e-3, 1e4, 32.0));
  double high = dimension(fields.number("beta_slow", 1e-3, 1e4, 1.0));
  if (fields.boolean("truncate", true)) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dims - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < periods.size(); ++i) {
    double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    periods[i] = 1.0 / (ramp / (factor * periods[i]) + (1 - ramp) / periods[i]);
  }
}

// What YaRN multiplies cosines and sines by.
double yarn_scale(const JsonFields& fields) {
  double factor = fields.number("factor", 1, 1e4);
  auto grown = [&](double by) { return 0.1 * by * std::log(factor) + 1.0; };
  double one = fields.number("mscale", 0, 1e4, 0.0);
  double all = fields.number("mscale_all_dim", 0, 1e4, 0.0);
  double scale = one > 0 && all > 0 ? grown(one) / grown(all) : grown(1);
  return fields.number("attention_factor", 1e-3, 1e4, scale);
}

// LongRoPE (arXiv:2402.13753) within the old context: a factor for each period.
double scale_longrope(
    Periods& periods, const JsonFields& fields, const JsonFields& top, double old) {
  const auto* factors = fields.find("short_factor");
  if (!factors || !factors->is_array() || factors->size() != periods.size())
    fields.fail("short_factor: expected a number for each period");
  for (size_t i = 0; i < periods.size(); ++i) {
    nlohmann::json one = {{"short_factor", (*factors)[i]}};
    periods[i] *= JsonFields(one, "rope scaling").number("short_factor", 1e-6, 1e6);
  }
  double positions = top.number("max_position_embeddings", 1, kMostPositions, old);
  double factor = fields.number("factor", 1e-6, 1e6, positions / old);
  double scale = 1;
  if (factor > 1 && old > 1) scale = std::sqrt(1 + std::log(factor) / std::log(old));
  return fields.number("attention_factor", 1e-3, 1e4, scale);
}

// The object that says how periods are scaled; an empty one if none does.
const nlohmann::json& scaling_of(const JsonFields& top, const RopeSource& from) {
  static const nlohmann::json kNone = nlohmann::json::object();
  if (const auto* both = top.find("rope_parameters")) {
    if (!both->is_object()) return *both;
    auto own = both->find(from.layer_type);
    if (own != both->end()) return *own;
    return from.is_scaled ? *both : kNone;
  }
  const auto* scaling = from.is_scaled ? top.find("rope_scaling") : nullptr;
  return scaling ? *scaling : kNone;
}

int turned_dims(const JsonFields& fields, const JsonFields& top, int head_dim) {
  double share = top.number("partial_rotary_factor", 0, 1, 1.0);
  share = fields.number("partial_rotary_factor", 0, 1, share);
  int dims = static_cast<int>(head_dim * share);
  if (dims < 2 || dims % 2 != 0)
    fields.fail(
        "partial_rotary_factor turns " + std::to_string(dims) +
        " dimensions of a head, expected an even number");
  return dims;
}

void scale(
    RopeSettings& rope,
    Periods& periods,
    const JsonFields& fields,
    const JsonFields& top,
    double theta) {
  auto type = fields.string("rope_type", fields.string("type", "default"));
  double old = original_positions(fields, top);
  if (type == "linear") {
    double factor = fields.number("factor", 1, 1e4);
    for (auto& period : periods) period *= factor;
  } else if (type == "llama3") {
    scale_llama3(periods, fields);
  } else if (type == "yarn") {
    scale_yarn(periods, fields, theta, old);
    rope.scale = static_cast<float>(yarn_scale(fields));
  } else if (type == "dynamic") {
    rope.max_positions = static_cast<int>(old);  // plain up to there
  } else if (type == "longrope" || type == "su") {
    rope.scale = static_cast<float>(scale_longrope(periods, fields, top, old));
    rope.max_positions = static_cast<int>(old);
  } else if (type != "default") {
    fields.fail(
        "type '" + type +
        "' is not supported; known: default, linear, llama3, yarn, dynamic, longrope");
  }
}

}  // namespace

RopeSettings read_rope(
    const nlohmann::json& config,
    int head_dim,
    const std::string& source,
    const RopeSource& from) {
  JsonFields top(config, source);
  JsonFields fields(scaling_of(top, from), source + ": rope scaling");
  double theta = top.number(from.theta_key, 1, 1e12, from.theta);
  theta = fields.number("rope_theta", 1, 1e12, theta);
  auto periods = plain_periods(theta, turned_dims(fields, top, head_dim));
  RopeSettings rope;
  scale(rope, periods, fields, top, theta);
  rope.periods = {periods.begin(), periods.end()};
  return rope;
}

}  // namespace pupil
