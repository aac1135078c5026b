#include "data/completion_file.h"

#include <stdexcept>
#include <unordered_map>

#include "base/quote.h"
#include "data/jsonl.h"

namespace pupil {

namespace {

using nlohmann::json;
using TaskOfId = std::unordered_map<std::string, size_t>;

TaskOfId index_of(const std::vector<Task>& tasks) {
  TaskOfId index;
  for (size_t i = 0; i < tasks.size(); ++i) index.emplace(tasks[i].id, i);
  return index;
}

const json& value_of(
    const json& line, const std::string& where, const char* key, const char* expected) {
  const auto found = line.find(key);
  if (found != line.end() && !found->is_null()) return *found;
  throw std::invalid_argument(where + "`" + key + "` is missing, expected " + expected);
}

[[noreturn]] void reject(
    const json& value,
    const std::string& where,
    const char* key,
    const char* expected) {
  throw std::invalid_argument(
      where + "`" + key + "`: expected " + expected + ", got " + value.type_name());
}

std::string id_text(const json& id, const std::string& where) {
  if (id.is_string()) return id.get<std::string>();
  if (id.is_number_integer()) return id.dump();
  reject(id, where, "id", "text or an integer");
}

}  // namespace

std::vector<CompletionLine> read_completion_file(
    const std::string& path,
    const std::vector<Task>& tasks,
    const std::string& tasks_path) {
  const TaskOfId index = index_of(tasks);
  JsonlReader reader(path);
  std::vector<CompletionLine> lines;
  while (auto object = reader.next()) {
    const std::string where = reader.where();
    const json& id = value_of(*object, where, "id", "a task's id");
    const json& text = value_of(*object, where, "completion", "the answer's text");
    const auto task = index.find(id_text(id, where));
    if (task == index.end()) {
      throw std::invalid_argument(
          where + "no task of " + tasks_path + " has the id " +
          in_quotes(id_text(id, where)) + "; expected one of its " +
          std::to_string(tasks.size()) + " ids, such as " + in_quotes(tasks[0].id));
    }
    if (!text.is_string()) reject(text, where, "completion", "text");
    lines.push_back({id, task->second, text.get<std::string>()});
  }
  if (!lines.empty()) return lines;
  throw std::invalid_argument(
      "[" + path + "] expected at least one completion, got none");
}

}  // namespace pupil
