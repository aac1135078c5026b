// The report of `pupil bench` for people.

#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace pupil {

/// The machine, the table of figures, that of contexts where there is one, and where
/// the time went.
std::string bench_text(const nlohmann::ordered_json& report);

/// The machine and the rollout's figures.
std::string rollout_report_text(const nlohmann::ordered_json& report);

}  // namespace pupil
