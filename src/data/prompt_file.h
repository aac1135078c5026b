// Prompts as files and other programs give them, one JSON object a line:
//   {"prompt": text} | {"messages": [{"role","content"}]} | {"input_ids": [...]}
// with an optional "id". Other keys are columns of a data set and are passed over, but
// for "tools" and other keys of a message, which a template would use: they are
// refused.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/types.h"

namespace pupil {

/// One prompt; exactly one of the three forms is set.
struct PromptLine {
  std::string id;  // as given, else the line's number from 0
  std::optional<std::string> text;
  std::vector<Message> messages;
  std::vector<int> input_ids;
};

/// Reads one line. `where` names it in errors, `index` is its default id. Throws
/// std::invalid_argument if it is no such object.
PromptLine parse_prompt_line(
    std::string_view line, const std::string& where, size_t index);

/// Reads a file of prompts; blank lines are skipped. Throws std::invalid_argument
/// naming the file and the line, also if there is no prompt in it.
std::vector<PromptLine> read_prompt_file(const std::string& path);

}  // namespace pupil
