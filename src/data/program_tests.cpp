#include "data/program_tests.h"

#include <algorithm>
#include <stdexcept>

#include "data/language.h"

namespace pupil {
namespace {

using nlohmann::json;

constexpr size_t kMaxNameBytes = 100;

[[noreturn]] void fail(const std::string& where, const std::string& what) {
  throw std::invalid_argument(where + what);
}

bool is_given(const json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && !found->is_null();
}

IoTest pair_of(const json& test, const std::string& where, size_t index) {
  const auto place = where + "`tests`[" + std::to_string(index) + "]: expected ";
  if (!test.is_object()) {
    fail(place, "an object with `input` and `output` like the others");
  }
  for (const char* key : {"input", "output"}) {
    if (!test.contains(key) || !test.at(key).is_string()) {
      fail(place, std::string("text under `") + key + "`");
    }
  }
  if (test.size() != 2) fail(place, "no keys but `input` and `output`");
  return {test.at("input"), test.at("output")};
}

/// A file in the folder of the command: no path, nothing hidden.
bool is_file_name(const std::string& name) {
  const bool plain = std::none_of(name.begin(), name.end(), [](unsigned char c) {
    return c < 0x20 || c == 0x7f || c == '/';
  });
  return plain && !name.empty() && name.size() <= kMaxNameBytes && name[0] != '.' &&
         name[0] != '-';
}

void read_files(const json& files, const std::string& where, Task& task) {
  const std::string place = where + "`test_files`: expected ";
  if (!files.is_object()) fail(place, "an object of file names and their text");
  for (const auto& [name, content] : files.items()) {
    if (!is_file_name(name)) fail(place, "names of files without a folder");
    if (!content.is_string()) fail(place, "text for each file");
    const bool taken = name == "solution" || name.starts_with("solution.");
    if (taken) fail(place, "no file `solution`: that is the answer");
    task.test_files.push_back({name, content});
  }
}

void read_command(const json& command, const std::string& where, Task& task) {
  auto is_text = [](const json& word) {
    return word.is_string() && !word.get_ref<const std::string&>().empty() &&
           word.get_ref<const std::string&>().find('\0') == std::string::npos;
  };
  const bool good = command.is_array() && !command.empty() &&
                    std::all_of(command.begin(), command.end(), is_text);
  if (!good) {
    fail(
        where,
        "`test_command`: expected an array of words, such as [\"python3\", "
        "\"test.py\"]");
  }
  task.test_command = command.get<std::vector<std::string>>();
}

}  // namespace

bool has_program_tests(const json& line) {
  if (is_given(line, "test_command") || is_given(line, "test_files")) return true;
  const auto tests = line.find("tests");
  return tests != line.end() && tests->is_array() && !tests->empty() &&
         tests->front().is_object();
}

void read_program_tests(const json& line, const std::string& where, Task& task) {
  task.language = "any";
  if (is_given(line, "language") && line.at("language").is_string()) {
    const std::string name = line.at("language");
    if (!language_named(name)) {
      fail(
          where,
          "`language`: expected python, javascript, c++, rust or bash, got '" + name +
              "'");
    }
  }
  if (is_given(line, "test_files")) read_files(line.at("test_files"), where, task);
  if (is_given(line, "test_command")) {
    read_command(line.at("test_command"), where, task);
    if (is_given(line, "tests")) {
      fail(where, "expected `tests` or `test_command`, got both");
    }
    return;
  }
  if (!task.test_files.empty() || !is_given(line, "tests")) {
    fail(where, "`test_command` is missing, expected the command for `test_files`");
  }
  const json& tests = line.at("tests");
  for (size_t i = 0; i < tests.size(); ++i) {
    task.io_tests.push_back(pair_of(tests[i], where, i));
  }
}

}  // namespace pupil
