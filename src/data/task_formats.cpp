#include "data/task_formats.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "data/program_tests.h"
#include "data/python_calls.h"

namespace pupil {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 9> kOurKeys{
    "id",
    "prompt",
    "entry_point",
    "tests",
    "language",
    "setup",
    "solution",
    "test_files",
    "test_command"};
constexpr std::array<std::string_view, 12> kTheirKeys{
    "text",
    "code",
    "task_id",
    "test_setup_code",
    "test_list",
    "challenge_test_list",
    "test",
    "canonical_solution",
    "test_imports",
    "source_file",
    "declaration",
    "example_test"};
constexpr size_t kMaxIdBytes = 256;

/// A line under check: every getter names the line and the key in its error.
struct Line {
  const json& object;
  const std::string& where;

  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument(where + what);
  }
  bool has(const char* key) const {
    auto found = object.find(key);
    return found != object.end() && !found->is_null();
  }
  std::string text(const char* key) const;
  std::string text_or_empty(const char* key) const {
    return has(key) ? text(key) : std::string();
  }
  std::vector<std::string> texts(const char* key) const;
  std::string id() const;
};

std::string describe(const json& value) {
  if (value.is_string() && value.get_ref<const std::string&>().empty()) {
    return "an empty string";
  }
  return value.is_string() ? "blank text" : value.type_name();
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

std::string without_carriage_returns(std::string text) {
  std::erase(text, '\r');
  return text;
}

std::string Line::text(const char* key) const {
  if (!has(key)) fail(std::string("`") + key + "` is missing, expected a string");
  const json& value = object.at(key);
  if (value.is_string()) return without_carriage_returns(value.get<std::string>());
  fail(std::string("`") + key + "`: expected a string, got " + describe(value));
}

std::vector<std::string> Line::texts(const char* key) const {
  std::vector<std::string> texts;
  if (!has(key)) return texts;
  const json& values = object.at(key);
  auto expected = std::string("`") + key + "`: expected an array of non-empty strings";
  if (!values.is_array()) fail(expected + ", got " + values.type_name());
  for (const json& value : values) {
    if (!value.is_string() || is_blank(value.get_ref<const std::string&>())) {
      fail(
          expected + ", got " + describe(value) + " at index " +
          std::to_string(texts.size()));
    }
    texts.push_back(without_carriage_returns(value.get<std::string>()));
  }
  return texts;
}

/// `id` or `task_id`, text or an integer; empty where the line has neither.
std::string Line::id() const {
  const char* key = has("id") ? "id" : "task_id";
  if (!has(key)) return {};
  const json& value = object.at(key);
  std::string id = value.is_string()           ? value.get<std::string>()
                   : value.is_number_integer() ? value.dump()
                                               : std::string();
  auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (is_blank(id) || id.size() > kMaxIdBytes ||
      std::any_of(id.begin(), id.end(), is_control)) {
    fail(
        std::string("`") + key +
        "`: expected an integer or one line of text, at most " +
        std::to_string(kMaxIdBytes) + " bytes");
  }
  return id;
}

std::string prompt_of(const Line& line, const char* key) {
  auto prompt = line.text(key);
  if (is_blank(prompt)) {
    line.fail(
        std::string("`") + key + "`: expected what the student is asked, got " +
        describe(line.object.at(key)));
  }
  return prompt;
}

std::string lower_letters(std::string_view key) {
  std::string letters;
  for (char c : key) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c >= 'a' && c <= 'z') letters.push_back(c);
  }
  return letters;
}

/// True if one letter added, removed, changed or swapped with its neighbour leads from
/// `a` to `b`, letter case and separators aside.
bool nearly_equal(std::string_view a, std::string_view b) {
  std::string x = lower_letters(a), y = lower_letters(b);
  if (x.size() > y.size()) std::swap(x, y);
  if (y.size() - x.size() > 1) return false;
  auto [p, q] = std::mismatch(x.begin(), x.end(), y.begin());
  if (q == y.end()) return true;
  if (x.size() < y.size()) return std::equal(p, x.end(), q + 1);
  bool changed = std::equal(p + 1, x.end(), q + 1);
  bool swapped = y.end() - q > 1 && *p == *(q + 1) && *(p + 1) == *q &&
                 std::equal(p + 2, x.end(), q + 2);
  return changed || swapped;
}

/// An ignored key must be the user's own, never a slip that leaves a task untested.
void check_keys(const Line& line) {
  for (const auto& [key, value] : line.object.items()) {
    auto is_key = [&key = key](std::string_view known) { return known == key; };
    auto is_near = [&key = key](std::string_view known) {
      return known != "id" && nearly_equal(known, key);  // too short to be mistaken
    };
    if (std::any_of(kOurKeys.begin(), kOurKeys.end(), is_key)) continue;
    if (std::any_of(kTheirKeys.begin(), kTheirKeys.end(), is_key)) continue;
    auto near = std::find_if(kOurKeys.begin(), kOurKeys.end(), is_near);
    if (near == kOurKeys.end()) continue;
    line.fail("unknown key `" + key + "`, expected `" + std::string(*near) + "`");
  }
}

/// The plain function that every test calls; one that `solution` defines comes first,
/// then one that is not Python's own. Empty: there is none.
std::string common_call(const Task& task) {
  auto defined = python_functions(task.solution);
  std::string found;
  int best = -1;
  for (const auto& [name, text] : python_calls(task.tests.front())) {
    auto calls_it = [&name = name](const std::string& test) {
      auto calls = python_calls(test);
      return std::any_of(
          calls.begin(), calls.end(), [&](auto& call) { return call.name == name; });
    };
    if (!std::all_of(task.tests.begin(), task.tests.end(), calls_it)) continue;
    bool in_solution = std::find(defined.begin(), defined.end(), name) != defined.end();
    int rank = 2 * in_solution + !is_python_builtin(name);
    if (rank > best) found = name, best = rank;
  }
  return found;
}

void find_entry_point(const Line& line, Task& task) {
  if (task.entry_point.empty() && !task.tests.empty()) {
    task.entry_point = common_call(task);
    if (task.entry_point.empty()) {
      line.fail("`entry_point` is missing, and the tests call no function in common");
    }
  }
  if (!task.entry_point.empty() && !is_python_name(task.entry_point)) {
    line.fail("`entry_point`: expected the name of a Python function");
  }
}

Task our_task(const Line& line) {
  Task task;
  task.prompt = prompt_of(line, "prompt");
  task.entry_point = line.text_or_empty("entry_point");
  if (has_program_tests(line.object)) {
    read_program_tests(line.object, line.where, task);
  } else {
    task.tests = line.texts("tests");
  }
  if (line.has("language")) task.language = line.text("language");
  task.setup = line.text_or_empty("setup");
  task.solution = line.text_or_empty("solution");
  if (!task.tests.empty() && task.language != "python") {
    line.fail("`tests` judge Python only, expected `language` \"python\"");
  }
  find_entry_point(line, task);
  return task;
}

/// MBPP names the function only in its tests: we tell the student its name and one
/// call, but no expected value.
std::string with_a_call(const Task& task) {
  auto calls = python_calls(task.tests.front());
  auto call = std::find_if(calls.begin(), calls.end(), [&](const PythonCall& call) {
    return call.name == task.entry_point;
  });
  std::string example =
      call == calls.end() ? "" : ", called as in `" + call->text + "`";
  return task.prompt + "\nName the function `" + task.entry_point + "`" + example + ".";
}

/// The setup shows how the tests make and fill the objects, and holds no expected
/// value; where there is none, the call of the function shows it.
std::string with_classes(const Task& task) {
  const auto classes = classes_of_answer(task);
  if (classes.empty()) return task.prompt;
  std::string names;
  for (const auto& name : classes) names += (names.empty() ? "`" : ", `") + name + "`";
  std::string prompt = task.prompt + "\nDefine " + names + ", too.";
  if (is_blank(task.setup)) return prompt;
  prompt += " The tests begin so:\n\n```python\n" + task.setup;
  return prompt + (task.setup.ends_with('\n') ? "```" : "\n```");
}

Task mbpp_task(const Line& line) {
  Task task;
  task.prompt = prompt_of(line, line.has("text") ? "text" : "prompt");
  task.entry_point = line.text_or_empty("entry_point");
  task.tests = line.texts("test_list");
  task.solution = line.text_or_empty("code");
  task.setup = line.text_or_empty("test_setup_code");
  for (const auto& import : line.texts("test_imports")) task.setup += import + "\n";
  if (task.tests.empty()) line.fail("`test_list`: expected at least one test");
  find_entry_point(line, task);
  task.prompt = with_a_call(task);
  task.prompt = with_classes(task);
  return task;
}

/// HumanEval's prompt is the head of a file: imports, helpers, then the signature and
/// docstring to complete. What stands before the signature is there for the answer and
/// for the tests.
Task human_eval_task(const Line& line) {
  Task task;
  auto head = prompt_of(line, "prompt");
  task.entry_point = line.text("entry_point");
  if (!is_python_name(task.entry_point)) {
    line.fail("`entry_point`: expected the name of a Python function");
  }
  auto signature = head.rfind("def " + task.entry_point + "(");
  if (signature == std::string::npos) {
    line.fail("`prompt`: expected the line 'def " + task.entry_point + "(...'");
  }
  task.prompt =
      "Complete this Python function. Answer with the whole function.\n\n```python\n" +
      head + (head.ends_with('\n') ? "```" : "\n```");
  task.setup = task.preamble = head.substr(0, signature);
  task.signature = head.substr(signature);
  task.tests = {line.text("test") + "\n\ncheck(" + task.entry_point + ")\n"};
  if (line.has("canonical_solution")) {
    task.solution = head + line.text("canonical_solution");
  }
  return task;
}

/// The keys that are the user's own, as a JSON object; empty: none.
std::string other_keys(const Line& line) {
  json others = json::object();
  for (const auto& [key, value] : line.object.items()) {
    const auto is_key = [&key = key](std::string_view known) { return known == key; };
    const bool known = std::any_of(kOurKeys.begin(), kOurKeys.end(), is_key) ||
                       std::any_of(kTheirKeys.begin(), kTheirKeys.end(), is_key);
    if (!known) others[key] = value;
  }
  return others.empty() ? "" : others.dump();
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::vector<std::string> classes_of_answer(const Task& task) {
  const auto defined = python_classes(task.solution);
  if (defined.empty()) return {};
  const auto in_setup = python_classes(task.setup);
  std::vector<std::string> classes;
  auto look_at = [&](const std::string& source) {
    for (const auto& [name, text] : python_calls(source)) {
      const bool is_new = !contains(in_setup, name) && !contains(classes, name);
      if (is_new && contains(defined, name)) classes.push_back(name);
    }
  };
  look_at(task.setup);
  for (const auto& test : task.tests) look_at(test);
  return classes;
}

Task task_from_json(const json& object, const std::string& where) {
  Line line{object, where};
  check_keys(line);
  bool is_mbpp = line.has("test_list"), is_human_eval = line.has("test");
  if (is_mbpp + is_human_eval + line.has("tests") > 1) {
    line.fail("expected one of `tests`, `test_list` and `test`, got several");
  }
  Task task = is_mbpp         ? mbpp_task(line)
              : is_human_eval ? human_eval_task(line)
                              : our_task(line);
  task.id = line.id();
  task.extra = other_keys(line);
  return task;
}

}  // namespace pupil
