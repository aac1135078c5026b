// The code in a student's answer.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/language.h"

namespace pupil {

/// A fenced block of Markdown: ``` or ~~~, at most three spaces in front of the fence;
/// as many are taken off its lines.
struct FencedBlock {
  std::string language;  // first word behind the fence, in lower case
  std::string code;
  bool closed = false;  // false: the answer ended inside it
};

std::vector<FencedBlock> fenced_blocks(std::string_view answer);

/// The answer's Python code. Of the blocks without a language or marked python, py or
/// python3: the first that parses and defines `entry_point`; else the longest that
/// parses; else the first. Without such blocks the whole answer if it parses as Python.
/// Else "".
std::string code_of_answer(std::string_view answer, const std::string& entry_point);

/// The function that an answer to "complete this function" defines. `signature` is what
/// it was shown of it, and empty for other tasks. An answer that defines no
/// `entry_point` but whose first block, or which itself without blocks, makes a program
/// behind the signature is its body; else this is `code_of_answer`.
std::string completed_function(
    const std::string& signature,
    std::string_view answer,
    const std::string& entry_point);

/// An answer's program in the language that the mark of its block names, or that the
/// task does.
struct AnswerProgram {
  Language language = Language::python;
  std::string code;  // empty: there is none
};

/// For a task in `task_language` ("any": the answer says): of the blocks that bear that
/// language's mark the longest, else the longest without a mark, else, without any
/// block, the whole answer. "any" takes the first marked block's language, else Python.
/// None for a language that is not one of ours.
std::optional<AnswerProgram> program_of_answer(
    std::string_view answer, const std::string& task_language);

/// Whether Python `code` defines a function or class `name` at its top level.
bool defines(std::string_view code, const std::string& name);

}  // namespace pupil
