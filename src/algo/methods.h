// The published methods, one row each: presets of TRL's loss settings. A method fills
// in what the user left unset (train/loss_settings.h) and has no code of its own.

#pragma once

#include <array>
#include <string_view>

namespace pupil {

struct Method {
  std::string_view name;
  std::string_view loss_type;
  std::string_view importance_sampling_level;
  double beta;
  double epsilon;
  double epsilon_high;
  std::string_view scale_rewards;
  std::string_view source;
};

/// Values as TRL's paper index gives them. beta 0 is TRL's default: GRPO's own paper
/// has 0.04, later work found no need of it.
inline constexpr std::array kMethods = {
    Method{"grpo", "grpo", "token", 0, 0.2, 0.2, "group", "arXiv:2402.03300"},
    Method{"dr_grpo", "dr_grpo", "token", 0, 0.2, 0.2, "none", "arXiv:2503.20783"},
    Method{"dapo", "dapo", "token", 0, 0.2, 0.28, "group", "arXiv:2503.14476"},
    Method{"gspo", "grpo", "sequence", 0, 3e-4, 4e-4, "group", "arXiv:2507.18071"},
};

/// Null if there is no such method.
constexpr const Method* find_method(std::string_view name) {
  for (const auto& method : kMethods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

}  // namespace pupil
