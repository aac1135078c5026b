#include "train/optimizer_config.h"

#include <array>
#include <optional>
#include <stdexcept>

#include "train/train_config.h"

namespace pupil {

namespace {

// What an optimizer has, and what stands where the user set nothing; none: it has none.
struct Traits {
  const char* name;
  std::optional<double> beta1, beta2, eps, momentum;
};

constexpr std::array kTraits = {
    Traits{"adamw", 0.9, 0.999, 1e-8, {}},
    Traits{"adam", 0.9, 0.999, 1e-8, {}},
    Traits{"sgd", {}, {}, {}, 0.9},
    Traits{"lion", 0.9, 0.99, {}, {}},
    Traits{"adafactor", {}, {}, {}, {}},
    Traits{"muon", 0.9, 0.999, 1e-8, 0.95},
    Traits{"adamw_8bit", 0.9, 0.999, 1e-8, {}}};

size_t index_of(const std::string& name) {
  for (size_t i = 0; i < kTraits.size(); ++i) {
    if (name == kTraits[i].name) return i;
  }
  throw std::invalid_argument(
      "[config] train.optim: expected one of " + std::string(kOptimNames) + ", got '" +
      name + "'");
}

double chosen(
    const char* key,
    const std::optional<double>& given,
    const std::optional<double>& standard,
    const std::string& optim) {
  if (given && !standard) {
    throw std::invalid_argument(
        "[config] train." + std::string(key) + ": the optimizer " + optim +
        " has none; remove the key");
  }
  return given ? *given : standard.value_or(0.0);
}

}  // namespace

std::string optim_name(Optim optim) {
  return kTraits[static_cast<size_t>(optim)].name;
}

OptimizerConfig optimizer_config(const TrainConfig& train) {
  size_t index = index_of(train.optim);
  const auto& has = kTraits[index];
  const auto& name = train.optim;
  return {
      static_cast<Optim>(index),
      chosen("adam_beta1", train.adam_beta1, has.beta1, name),
      chosen("adam_beta2", train.adam_beta2, has.beta2, name),
      chosen("adam_epsilon", train.adam_epsilon, has.eps, name),
      chosen("momentum", train.momentum, has.momentum, name),
      train.weight_decay};
}

}  // namespace pupil
