#include "base/table.h"

#include <algorithm>
#include <stdexcept>

namespace pupil {

namespace {

using Row = std::vector<std::string>;

// Columns that `text` takes, one for each code point.
size_t display_width(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

std::vector<size_t> column_widths(const Table& table) {
  std::vector<size_t> widths;
  for (const std::string& cell : table.header) widths.push_back(display_width(cell));
  for (const Row& row : table.rows) {
    if (row.size() != widths.size()) {
      throw std::invalid_argument(
          "[table] expected " + std::to_string(widths.size()) +
          " cells in a row, got " + std::to_string(row.size()));
    }
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  return widths;
}

std::string padded(const std::string& cell, size_t width, bool to_the_left) {
  const std::string space(width - std::min(width, display_width(cell)), ' ');
  return to_the_left ? cell + space : space + cell;
}

std::string line(
    const Row& row, const std::vector<size_t>& widths, const std::string& separator) {
  std::string out;
  for (size_t i = 0; i < row.size(); ++i) {
    out += (i == 0 ? "" : separator) + padded(row[i], widths[i], i == 0);
  }
  return out;
}

std::string without_trailing_spaces(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

Row escaped(const Row& row) {
  Row out;
  for (const std::string& cell : row) {
    std::string& text = out.emplace_back();
    for (char c : cell) {
      if (c == '|') text += '\\';
      text += c == '\n' ? ' ' : c;
    }
  }
  return out;
}

}  // namespace

std::string terminal_table(const Table& table) {
  const auto widths = column_widths(table);
  Row rule;
  for (size_t width : widths) rule.emplace_back(width, '-');
  std::string out = without_trailing_spaces(line(table.header, widths, "  ")) + '\n';
  out += line(rule, widths, "  ") + '\n';
  for (const Row& row : table.rows) {
    out += without_trailing_spaces(line(row, widths, "  ")) + '\n';
  }
  return out;
}

std::string markdown_table(const Table& table) {
  Table safe{escaped(table.header), {}};
  for (const Row& row : table.rows) safe.rows.push_back(escaped(row));
  const auto widths = column_widths(safe);
  std::string out = "| " + line(safe.header, widths, " | ") + " |\n|";
  for (size_t i = 0; i < widths.size(); ++i) {
    out += std::string(widths[i] + 1, '-') + (i == 0 ? "-|" : ":|");
  }
  out += '\n';
  for (const Row& row : safe.rows) out += "| " + line(row, widths, " | ") + " |\n";
  return out;
}

}  // namespace pupil
