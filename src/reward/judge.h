// The teacher as a judge: what it is asked about an answer, and what its reply is
// worth. Pure functions; the student's answer and the teacher's reply are both hostile
// text. The forms for a whole group, a pair and a single digit: judge_forms.h.

#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/types.h"
#include "reward/chat_api.h"
#include "reward/teacher_config.h"

namespace pupil {

/// A change to the prompts or the parsers gets a new version here: answers that were
/// stored under the old one are not used any more. The criteria are in the request.
inline constexpr std::string_view kRubricVersion = "rubric-2";
inline constexpr std::string_view kParserVersion = "parser-2";

inline constexpr int kMaxGrade = 10;

/// What a judge goes by; the weights sum to 1.
struct Rubric {
  std::vector<Criterion> criteria;
};

/// `teacher.criteria`, checked, with normalised weights. Throws std::invalid_argument
/// for a name that is not one, that comes twice, or that the reply needs for itself.
Rubric checked_rubric(const std::vector<Criterion>& criteria);

/// Limits of a judge's reply.
struct JudgeSettings {
  double temperature = 0;
  int max_tokens = 1024;
};

/// The request that has `answer` graded. The instructions are the system text; the
/// student's bytes stand only inside one JSON string field of the user turn, between
/// two marks that the answer cannot hold (judge_data.h); after it comes nothing but a
/// reminder.
ChatRequest judge_request(
    const Rubric& rubric,
    const Task& task,
    std::string_view answer,
    const JudgeSettings& settings);

/// What a judge's reply says.
struct Judgement {
  std::optional<double> score;  // in [0, 1]; none: no valid reply
  std::string reason;           // the grades and the judge's reason, or what is wrong
};

/// Reads a judge's reply: one JSON object with a string `reason` and an integer from 0
/// to 10 for each criterion, and nothing else; one leading <think> block and one code
/// fence around it are taken off. Total: never throws, and never guesses.
Judgement read_judgement(const Rubric& rubric, std::string_view text);

/// Shared with the other forms: the opening of the instructions with the criteria, the
/// JSON schema's members of one graded answer, and what such an object is worth.
std::string judge_instructions(const Rubric& rubric, std::string_view what);
nlohmann::json graded_properties(const Rubric& rubric);
Judgement weighed(const Rubric& rubric, const nlohmann::json& graded);

/// Why an answer is worth 0 without asking anybody: it is empty, holds only comments,
/// no code, or more than 64 KiB. None: it deserves a judge.
std::optional<std::string> degenerate(
    std::string_view answer, std::string_view language);

}  // namespace pupil
