// Writes what config/schema.h shows: a config as commented YAML, and its reference.

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "config/load_config.h"
#include "config/schema.h"

namespace pupil {

namespace {

constexpr size_t kCommentColumn = 40;
constexpr size_t kLineLength = 110;

// Text that any YAML reader takes as text without quotes: a word, a name or a path.
bool is_plain(const std::string& text) {
  constexpr std::string_view kInside = "_./~-";
  constexpr std::string_view kWords[] = {
      "null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  const auto is_safe = [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           kInside.find(c) != std::string_view::npos;
  };
  std::string lower;
  for (char c : text) lower += static_cast<char>(std::tolower(c));
  const bool begins = std::isalpha(static_cast<unsigned char>(text[0])) != 0 ||
                      text[0] == '/' || text.starts_with("./") ||
                      text.starts_with("../");
  return begins && std::all_of(text.begin(), text.end(), is_safe) &&
         std::find(std::begin(kWords), std::end(kWords), lower) == std::end(kWords);
}

// YAML's double-quoted text takes all that JSON's does.
std::string quoted_yaml(const std::string& text) {
  using nlohmann::json;
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string value_yaml(const Field& field) {
  const auto text = field.write();
  if (!text) return "null";
  return field.is_text && !is_plain(*text) ? quoted_yaml(*text) : *text;
}

// What an element of a list does not say. Its defaults are null and empty.
bool is_unsaid(const Field& field) {
  if (field.kind == Field::Kind::List) return field.size() == 0;
  if (field.kind == Field::Kind::Section) return false;
  const auto text = field.write();
  return !text || text->empty();
}

std::string flow_list(const Field& list);

std::string flow_yaml(const Field& field) {
  if (field.kind == Field::Kind::Value) return value_yaml(field);
  if (field.kind == Field::Kind::List) return flow_list(field);
  std::string out, separator;
  for (const Field& child : field.fields) {
    if (is_unsaid(child)) continue;
    out += separator + std::string(child.name()) + ": " + flow_yaml(child);
    separator = ", ";
  }
  return '{' + out + '}';
}

std::string flow_list(const Field& list) {
  std::string out, separator;
  for (size_t i = 0; i < list.size(); ++i) {
    out += separator + flow_yaml(list.element(i));
    separator = ", ";
  }
  return '[' + out + ']';
}

std::string comment(const Field& field) {
  return field.is_limited ? field.help + " (" + field.expected + ")" : field.help;
}

// A note that would make the line too long stands above it.
void append_line(
    std::string& out,
    const std::string& indent,
    const std::string& text,
    const std::string& note) {
  std::string line = indent + text;
  const size_t column = std::max(line.size() + 1, kCommentColumn);
  if (!note.empty() && column + note.size() > kLineLength) {
    out += indent + "# " + note + '\n';
  } else if (!note.empty()) {
    line.resize(column, ' ');
    line += "# " + note;
  }
  out += line + '\n';
}

void append_yaml(std::string& out, const Field& field, const std::string& indent) {
  const std::string start = std::string(field.name()) + ":";
  switch (field.kind) {
    case Field::Kind::Section:
      out += '\n';
      append_line(out, indent, start, field.help);
      for (const Field& child : field.fields) append_yaml(out, child, indent + "  ");
      return;
    case Field::Kind::List:
      append_line(
          out, indent, start + (field.size() == 0 ? " []" : ""), comment(field));
      for (size_t i = 0; i < field.size(); ++i) {
        out += indent + "  - " + flow_yaml(field.element(i)) + '\n';
      }
      return;
    case Field::Kind::Value:
      append_line(out, indent, start + ' ' + value_yaml(field), comment(field));
      return;
  }
}

std::string default_text(const Field& field) {
  return field.kind == Field::Kind::Value ? value_yaml(field) : flow_list(field);
}

std::string table_cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

void append_row(std::string& out, const Field& field) {
  if (field.kind == Field::Kind::Section) return;
  out += "| `" + field.key + "` | `" + default_text(field) + "` | " +
         table_cell(field.expected) + " | " + table_cell(field.help) + " |\n";
  if (field.kind != Field::Kind::List || field.size() == 0) return;
  for (const Field& item : field.element(0).fields) {
    out += "| `" + field.key + "[]." + std::string(item.name()) + "` | | " +
           table_cell(item.expected) + " | " + table_cell(item.help) + " |\n";
  }
}

void append_values(
    std::vector<std::pair<std::string, std::string>>& out, const Field& field) {
  if (field.kind != Field::Kind::Section)
    out.emplace_back(field.key, default_text(field));
  for (const Field& child : field.fields) append_values(out, child);
}

void append_section(std::string& out, const Field& section) {
  out += "\n## " + section.key + "\n\n| key | default | accepts | meaning |\n";
  out += "|---|---|---|---|\n";
  for (const Field& field : section.fields) append_row(out, field);
}

}  // namespace

std::string dump_yaml(const Config& config) {
  Config copy = config;
  std::string out;
  for (const Field& field : describe(copy).fields) append_yaml(out, field, "");
  return out;
}

std::vector<std::pair<std::string, std::string>> config_values(const Config& config) {
  Config copy = config;
  std::vector<std::pair<std::string, std::string>> values;
  append_values(values, describe(copy));
  return values;
}

std::string config_markdown() {
  Config defaults;
  const Field root = describe(defaults);
  std::string out =
      "# Configuration\n\n"
      "Every key of config.yaml. `pupil init` writes a commented file; on the command "
      "line a key is\n`--section.key=value`. This page is generated: `make docs`.\n\n"
      "| key | default | accepts | meaning |\n|---|---|---|---|\n";
  for (const Field& field : root.fields) append_row(out, field);
  for (const Field& field : root.fields) {
    if (field.kind == Field::Kind::Section) append_section(out, field);
  }
  return out;
}

}  // namespace pupil
