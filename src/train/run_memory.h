// What a run remembers from round to round, beside the weights.

#pragma once

#include <nlohmann/json.hpp>

#include "algo/advantage.h"
#include "train/round.h"

namespace pupil {

struct RunMemory {
  RunningBaseline baselines;
  DrawState draws;
  int64_t num_tokens = 0;  // sampled and read so far
};

/// For a checkpoint, and back.
nlohmann::json to_json(const RunMemory& memory);
RunMemory run_memory_of(const nlohmann::json& json);

/// The text of tasks.json: of each task {"draws", "answers", "pass_rate"}.
std::string task_records_text(const TaskRecords& records);

}  // namespace pupil
