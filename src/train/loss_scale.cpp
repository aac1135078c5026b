#include "train/loss_scale.h"

#include <algorithm>

namespace pupil {

namespace {

constexpr double kMost = 1 << 24, kLeast = 1;

}  // namespace

void LossScale::keep() {
  if (++good_steps < window) return;
  scale = std::min(2 * scale, kMost);
  good_steps = 0;
}

bool LossScale::lower() {
  if (scale <= kLeast) return false;
  scale /= 2;
  good_steps = 0;
  return true;
}

nlohmann::json to_json(const LossScale& scale) {
  return {{"scale", scale.scale}, {"good_steps", scale.good_steps}};
}

LossScale loss_scale_of(const nlohmann::json& json, int window) {
  return {json.at("scale").get<double>(), json.at("good_steps").get<int>(), window};
}

}  // namespace pupil
