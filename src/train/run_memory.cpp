#include "train/run_memory.h"

namespace pupil {

nlohmann::json to_json(const RunMemory& memory) {
  auto baselines = nlohmann::json::object(), tasks = nlohmann::json::object();
  for (const auto& [prompt, entry] : memory.baselines.entries) {
    baselines[prompt] = {entry.mean, entry.count};
  }
  for (const auto& [id, record] : memory.draws.records) {
    tasks[id] = {record.draws, record.answers, record.pass_rate};
  }
  return {
      {"num_tokens", memory.num_tokens},
      {"baselines", baselines},
      {"prompts_drawn", memory.draws.drawn},
      {"tasks", tasks}};
}

RunMemory run_memory_of(const nlohmann::json& json) {
  RunMemory memory;
  memory.num_tokens = json.at("num_tokens").get<int64_t>();
  for (const auto& [prompt, entry] : json.at("baselines").items()) {
    memory.baselines.entries[prompt] = {
        entry.at(0).get<double>(), entry.at(1).get<double>()};
  }
  memory.draws.drawn = json.at("prompts_drawn").get<uint64_t>();
  for (const auto& [id, record] : json.at("tasks").items()) {
    memory.draws.records[id] = {
        record.at(0).get<int64_t>(),
        record.at(1).get<int64_t>(),
        record.at(2).get<double>()};
  }
  return memory;
}

std::string task_records_text(const TaskRecords& records) {
  auto tasks = nlohmann::ordered_json::object();
  for (const auto& [id, record] : records) {
    tasks[id] = {
        {"draws", record.draws},
        {"answers", record.answers},
        {"pass_rate", record.pass_rate}};
  }
  return tasks.dump(2) + "\n";
}

}  // namespace pupil
