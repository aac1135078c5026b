#include "train/interval_json.h"

#include <cstdio>

namespace pupil {

using Json = nlohmann::ordered_json;

Json to_json(const Interval& interval) {
  return {{"mean", interval.mean}, {"ci95", {interval.low, interval.high}}};
}

std::string interval_text(const Json& interval, bool is_signed) {
  char text[96];
  const char* format = is_signed ? "%+.3f [%+.3f, %+.3f]" : "%.3f [%.3f, %.3f]";
  std::snprintf(
      text,
      sizeof text,
      format,
      interval.at("mean").get<double>(),
      interval.at("ci95").at(0).get<double>(),
      interval.at("ci95").at(1).get<double>());
  return text;
}

}  // namespace pupil
