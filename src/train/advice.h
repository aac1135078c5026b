// What the numbers of a run say about its settings, said once.

#pragma once

#include <deque>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace pupil {

/// Looks at the last rows of metrics.jsonl together: one step is noise.
class Advice {
 public:
  /// Takes a training step's row in. Returns what is new to be said: what was seen, and
  /// which setting to change.
  std::vector<std::string> add(const nlohmann::ordered_json& row);

  /// The kinds that were said, to go into a checkpoint, and back.
  const std::set<std::string>& said() const { return said_; }
  void set_said(std::set<std::string> said) { said_ = std::move(said); }

 private:
  std::deque<nlohmann::ordered_json> rows_;  // the newest last
  std::set<std::string> said_;
};

}  // namespace pupil
