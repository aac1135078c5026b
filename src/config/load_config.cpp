#include "config/load_config.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "base/error.h"
#include "base/file.h"
#include "base/quote.h"
#include "config/schema.h"
#include "config/yaml.h"

namespace pupil {

namespace {

// Far above parse_yaml's limit: only the mistake of naming a model ends here.
constexpr uint64_t kMaxFileBytes = 1 << 20;

const std::vector<std::string>& known_keys() {
  static const std::vector<std::string> keys = [] {
    Config defaults;
    return all_keys(describe(defaults));
  }();
  return keys;
}

std::string node_text(const YAML::Node& node) {
  if (node.IsNull()) return "null";
  if (node.IsMap()) return "a map";
  if (node.IsSequence()) return "a list";
  return in_quotes(node.Scalar());
}

[[noreturn]] void reject(const Field& field, const YAML::Node& node) {
  const bool is_unwanted_text = node.Tag() == "!" && !field.is_text;
  throw ConfigProblem{
      node.Mark(),
      field.key + (field.key.empty() ? "" : ": ") + "expected " + field.expected +
          ", got " + (is_unwanted_text ? "text " : "") + node_text(node)};
}

std::string unknown_key_text(const std::string& key) {
  return "no such key: " + in_quotes(key) + "; did you mean " +
         nearest_key(key, known_keys()) + "?";
}

void assign(Field& field, const YAML::Node& node);

Field& child_of(
    Field& section, const YAML::Node& key_node, std::set<std::string>& seen) {
  if (!key_node.IsScalar()) {
    throw ConfigProblem{key_node.Mark(), "expected a key, got " + node_text(key_node)};
  }
  const std::string& name = key_node.Scalar();
  const std::string key = section.key.empty() ? name : section.key + '.' + name;
  if (!seen.insert(name).second) {
    throw ConfigProblem{key_node.Mark(), in_quotes(key) + " is given twice"};
  }
  for (Field& child : section.fields) {
    if (child.name() == name) return child;
  }
  throw ConfigProblem{key_node.Mark(), unknown_key_text(key)};
}

void assign_section(Field& section, const YAML::Node& node) {
  if (node.IsNull()) return;  // "rollout:" and nothing below it
  if (!node.IsMap()) reject(section, node);
  std::set<std::string> seen;
  for (const auto& entry : node) {
    Field& child = child_of(section, entry.first, seen);
    assign(child, entry.second);
  }
}

// A value of a list's element has no default that its own limits accept: then it must
// be given.
void check_complete(const Field& element, const YAML::Node& node) {
  for (const Field& field : element.fields) {
    if (field.kind != Field::Kind::Value) continue;
    const auto text = field.write();
    if (!text || field.read(*text)) continue;
    throw ConfigProblem{
        node.Mark(), field.key + " is missing, expected " + field.expected};
  }
  const std::string problem = element.check ? element.check() : "";
  if (problem.empty()) return;
  throw ConfigProblem{node.Mark(), element.key + '.' + problem};
}

void assign_list(Field& list, const YAML::Node& node) {
  if (!node.IsSequence()) reject(list, node);
  list.resize(0);
  list.resize(node.size());
  for (size_t i = 0; i < node.size(); ++i) {
    Field element = list.element(i);
    if (node[i].IsNull()) reject(element, node[i]);
    assign(element, node[i]);
    check_complete(element, node[i]);
  }
}

void assign_value(Field& field, const YAML::Node& node) {
  if (node.IsNull()) {
    if (!field.clear()) reject(field, node);
    return;
  }
  const bool may_be = node.IsScalar() && (field.is_text || node.Tag() != "!");
  if (!may_be || !field.read(node.Scalar())) reject(field, node);
}

void assign(Field& field, const YAML::Node& node) {
  switch (field.kind) {
    case Field::Kind::Section:
      return assign_section(field, node);
    case Field::Kind::List:
      return assign_list(field, node);
    case Field::Kind::Value:
      return assign_value(field, node);
  }
}

std::string read_text(const std::string& path) {
  if (!std::filesystem::exists(path)) {
    throw std::invalid_argument(
        "[config] " + in_quotes(path, 500) +
        ": no such file; `pupil init` writes a config.yaml");
  }
  return read_file(path, kMaxFileBytes);
}

void apply_file(Field& root, const std::string& path) {
  const std::string text = read_text(path);
  try {
    assign(root, parse_yaml(text));
  } catch (const ConfigProblem& problem) {
    const bool known = !problem.mark.is_null();
    const std::string line =
        known ? ':' + std::to_string(problem.mark.line + 1) : std::string();
    throw std::invalid_argument("[config] " + path + line + ": " + problem.text);
  }
}

Field find(const Field& root, const std::string& key) {
  Field field = root;
  for (size_t start = 0; start <= key.size();) {
    const size_t end = std::min(key.find('.', start), key.size());
    const std::string part = key.substr(start, end - start);
    start = end + 1;
    std::optional<Field> next;
    for (const Field& child : field.fields) {
      if (child.name() == part) next = child;
    }
    uint64_t index = 0;
    if (field.kind == Field::Kind::List && parse_value(part, Limits(), index) &&
        index < field.size()) {
      next = field.element(index);
    }
    if (!next) throw ConfigProblem{YAML::Mark::null_mark(), unknown_key_text(key)};
    field = *next;
  }
  return field;
}

// The text of a single value stands as it is: no YAML quoting on top of the shell's.
void assign_text(Field& field, const std::string& text) {
  if (field.kind != Field::Kind::Value) return assign(field, parse_yaml(text));
  if (text == "null" && field.clear()) return;
  if (field.read(text)) return;
  throw ConfigProblem{
      YAML::Mark::null_mark(),
      "expected " + field.expected + ", got " + in_quotes(text)};
}

/// Applies the override at `i` and returns where the next one is.
size_t apply_override(
    const Field& root, std::span<const std::string> overrides, size_t i) {
  const std::string& argument = overrides[i++];
  if (!argument.starts_with("--") || argument.size() == 2) {
    throw UsageError(
        "[command line] expected --section.key=value, got " + in_quotes(argument));
  }
  const size_t equals = std::min(argument.find('='), argument.size());
  const std::string key = argument.substr(2, equals - 2);
  try {
    Field field = find(root, key);
    if (equals == argument.size() && i == overrides.size()) {
      throw ConfigProblem{YAML::Mark::null_mark(), "expected a value after it"};
    }
    const bool is_one = equals < argument.size();
    assign_text(field, is_one ? argument.substr(equals + 1) : overrides[i++]);
  } catch (const ConfigProblem& problem) {
    throw UsageError("[command line] " + in_quotes("--" + key) + ": " + problem.text);
  }
  return i;
}

}  // namespace

Config load_config(const std::string& path, std::span<const std::string> overrides) {
  Config config;
  Field root = describe(config);
  if (!path.empty()) apply_file(root, path);
  for (size_t i = 0; i < overrides.size();) i = apply_override(root, overrides, i);
  return config;
}

}  // namespace pupil
