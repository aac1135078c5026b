#include "data/tasks.h"

#include <filesystem>
#include <map>
#include <stdexcept>

#include "data/jsonl.h"
#include "data/task_formats.h"

namespace pupil {
namespace {

using LineOfId = std::map<std::string, int>;

std::string default_id(const std::string& path, int line_number) {
  return std::filesystem::path(path).stem().string() + "/" +
         std::to_string(line_number);
}

void check_is_new(const Task& task, const JsonlReader& reader, LineOfId& lines) {
  auto [known, is_new] = lines.emplace(task.id, reader.line_number());
  if (is_new) return;
  throw std::invalid_argument(
      reader.where() + "the id '" + task.id + "' is taken by line " +
      std::to_string(known->second) + ", expected a different id for each task");
}

}  // namespace

std::vector<Task> load_tasks(const std::string& path, std::optional<int> limit) {
  JsonlReader reader(path);
  LineOfId lines;
  std::vector<Task> tasks;
  while (!limit || static_cast<int>(tasks.size()) < *limit) {
    auto line = reader.next();
    if (!line) break;
    Task task = task_from_json(*line, reader.where());
    if (task.id.empty()) task.id = default_id(path, reader.line_number());
    check_is_new(task, reader, lines);
    tasks.push_back(std::move(task));
  }
  if (tasks.empty()) {
    throw std::invalid_argument("[" + path + "] expected at least one task, got none");
  }
  return tasks;
}

}  // namespace pupil
