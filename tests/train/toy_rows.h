// What toy runs wrote and learned, for comparing two of them.

#pragma once

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "train/toy_run.h"

namespace pupil::testing {

// Of a JSON Lines file, or of one that is a single object.
inline std::vector<nlohmann::json> rows_of(
    const std::filesystem::path& path, bool single = false) {
  std::vector<nlohmann::json> rows;
  std::ifstream in(path);
  if (single) return {nlohmann::json::parse(in)};
  for (std::string line; std::getline(in, line);)
    rows.push_back(nlohmann::json::parse(line));
  return rows;
}

// Metrics without the clock's.
inline std::vector<nlohmann::json> timeless(std::vector<nlohmann::json> rows) {
  for (auto& row : rows) {
    for (const char* name :
         {"step_time",
          "time/generate",
          "time/score",
          "time/update",
          "speed/generate",
          "speed/update"}) {
      row.erase(name);
    }
  }
  return rows;
}

inline void expect_same_bits(const ToyRun& a, const ToyRun& b) {
  const auto &x = *a.learner, &y = *b.learner;
  for (size_t i = 0; i < x.params().size(); ++i) {
    EXPECT_TRUE(mx::array_equal(x.params()[i], y.params()[i]).item<bool>());
    for (const auto& [kind, arrays] : x.state()) {
      auto others = y.state().at(kind);
      EXPECT_TRUE(mx::array_equal(arrays[i], others[i]).item<bool>()) << kind;
    }
  }
  EXPECT_EQ(x.optimizer().step(), y.optimizer().step());
}

// Asks to stop once `steps` steps are done.
inline void stop_after(ToyRun& run, int steps) {
  auto count = std::make_shared<int>(0);
  run.hooks.on_metrics = [count](const nlohmann::ordered_json&) { ++*count; };
  run.hooks.stop_requested = [count, steps] { return *count >= steps; };
}

// Runs `whole` in its folder, and in the other `cut`, which is stopped after `steps`
// steps, and `resumed`, which goes on: it ends with the bits of the first.
inline void expect_resume_is_exact(
    ToyRun& whole,
    const std::filesystem::path& whole_dir,
    ToyRun& cut,
    ToyRun& resumed,
    const std::filesystem::path& cut_dir,
    int steps) {
  whole.run(whole_dir);
  stop_after(cut, steps);
  EXPECT_THROW(cut.run(cut_dir), Stopped);
  resumed.run(cut_dir, true);
  expect_same_bits(whole, resumed);
}

}  // namespace pupil::testing
