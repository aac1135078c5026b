// Which tasks come next, by how often the student has passed them so far.

#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pupil {

/// What a run knows about one task. Part of its state.
struct TaskRecord {
  int64_t draws = 0;     // how often it was asked
  int64_t answers = 0;   // completions that were scored
  double pass_rate = 0;  // mean over them, in [0, 1]

  /// Counts one more answer.
  void add(double passed);
};
using TaskRecords = std::map<std::string, TaskRecord>;  // by task id

enum class Curriculum { none, easy_first, uncertain };

/// Of `data.curriculum`. Throws std::invalid_argument on another name.
Curriculum curriculum_of(std::string_view name);

/// The indices of `count` tasks out of `ids`, by their records:
///   easy_first  those drawn least often, of them the highest pass rate first; unknown
///               ones before all: every task once, from easy to hard, and again
///   uncertain   at random with weight p (1 - p) + 0.02, where p is the pass rate with
///               one pass and one failure added: the variance of a reward of 0 or 1,
///               which is what a group of answers can teach; no task twice in a call
///               while others are left
/// Equals stand in a random order that is keyed by `seed` and `first`, the number of
/// tasks drawn before; a pure function. `ids` must not be empty.
std::vector<size_t> choose_tasks(
    Curriculum curriculum,
    std::span<const std::string> ids,
    const TaskRecords& records,
    uint64_t seed,
    uint64_t first,
    size_t count);

}  // namespace pupil
