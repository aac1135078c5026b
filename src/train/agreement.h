// Whether two scorers like the same answers.

#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/types.h"

namespace pupil {

/// Over all pairs of rollouts of one group that both functions scored and the first
/// tells apart: how many the second puts in the same order, a tie counting half. The
/// share is the area under the ROC curve within groups where the first says only right
/// or wrong, as tests do; 0.5 is chance.
struct Agreement {
  double same = 0;
  int64_t pairs = 0;
};

/// Of the functions with these indices into Rollout::scores.
Agreement agreement_of(
    std::span<const RolloutGroup> groups, size_t first, size_t second);

/// `agreement/<first>/<second>` (the share, null without pairs) and
/// `agreement/<first>/<second>/pairs`, for each two functions; `tests` stands first.
void add_agreements(
    nlohmann::ordered_json& row,
    std::span<const RolloutGroup> groups,
    const std::vector<std::string>& names);

}  // namespace pupil
