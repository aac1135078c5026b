// Intervals in reports: as JSON and as text.

#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "train/bootstrap.h"

namespace pupil {

/// {"mean", "ci95": [low, high]}.
nlohmann::ordered_json to_json(const Interval& interval);

/// What `to_json` wrote as "0.500 [0.237, 0.763]"; `is_signed`: with signs.
std::string interval_text(const nlohmann::ordered_json& interval, bool is_signed);

}  // namespace pupil
