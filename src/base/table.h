// Small tables for a terminal and for Markdown.

#pragma once

#include <string>
#include <vector>

namespace pupil {

/// The first column is text and aligned left, the others are aligned right.
struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  // each as long as the header
};

/// Aligned columns, a rule under the header, one line a row. Throws
/// std::invalid_argument if a row has another length than the header.
std::string terminal_table(const Table& table);

/// A Markdown table, also readable as plain text.
std::string markdown_table(const Table& table);

}  // namespace pupil
