// What two runs wrote, compared.

#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "app/tiny_world.h"

namespace pupil::testing {

inline std::vector<nlohmann::json> rows_of(const std::string& text) {
  std::vector<nlohmann::json> rows;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    rows.push_back(nlohmann::json::parse(line));
  return rows;
}

/// The metrics that do not depend on the clock or the machine's memory.
inline std::vector<nlohmann::json> timeless(const std::string& text) {
  auto rows = rows_of(text);
  for (auto& row : rows) {
    auto all = row;
    for (const auto& [key, value] : all.items()) {
      bool is_time = key == "step_time" || key.starts_with("time/") ||
                     key.starts_with("speed/") || key.starts_with("memory/");
      if (is_time) row.erase(key);
    }
  }
  return rows;
}

/// Two run directories of `world` hold the same weights, samples and metrics.
inline void expect_same_run(
    const TinyWorld& world, const std::string& a, const std::string& b) {
  for (const char* name : {"/adapters/adapters.safetensors", "/rollouts.jsonl"}) {
    EXPECT_EQ(world.read(a + name), world.read(b + name)) << name;
  }
  EXPECT_EQ(
      timeless(world.read(a + "/metrics.jsonl")),
      timeless(world.read(b + "/metrics.jsonl")));
}

}  // namespace pupil::testing
