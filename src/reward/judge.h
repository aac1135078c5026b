// The teacher as a judge: what it is asked about an answer, and what its reply is
// worth. Pure functions; the student's answer and the teacher's reply are both hostile
// text.

#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "data/types.h"
#include "reward/chat_api.h"

namespace pupil {

/// A change to the prompt, the criteria or the parser below gets a new version here:
/// answers that were stored under the old one are not used any more.
inline constexpr std::string_view kRubricVersion = "rubric-1";
inline constexpr std::string_view kParserVersion = "parser-1";

/// One criterion, graded by an integer from 0 to 10.
struct Criterion {
  const char* name;
  int weight;  // in percent; all sum to 100
  const char* meaning;
};

inline constexpr std::array kCriteria = {
    Criterion{"correctness", 30, "does what the task asks, edge cases included"},
    Criterion{
        "quality", 30, "clear names and structure, idiomatic, nothing superfluous"},
    Criterion{"efficiency", 20, "sensible algorithm and data structures for the task"},
    Criterion{"documentation", 20, "a docstring or comments that help a reader"},
};

/// The request that has `answer` graded. The instructions are the system text; the
/// student's bytes stand only inside one JSON string field of the user turn, between
/// two marks that the answer cannot contain; after it comes nothing but a reminder.
/// Characters that do not show (zero width, bidirectional) are spelt out as \uXXXX.
ChatRequest judge_request(
    const Task& task, std::string_view answer, double temperature, int max_tokens);

/// What a judge's reply says.
struct Judgement {
  std::optional<double> score;  // in [0, 1]; none: no valid reply
  std::string reason;           // the grades and the judge's reason, or what is wrong
};

/// Reads a judge's reply: one JSON object with a string `reason` and an integer from 0
/// to 10 for each criterion, and nothing else; one leading <think> block and one code
/// fence around it are taken off. Total: never throws, and never guesses.
Judgement read_judgement(std::string_view text);

/// Why an answer is worth 0 without asking anybody: it is empty, holds only comments,
/// no code, or more than 64 KiB. None: it deserves a judge.
std::optional<std::string> degenerate(
    std::string_view answer, std::string_view language);

}  // namespace pupil
