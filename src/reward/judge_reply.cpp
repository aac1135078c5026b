// The judge's reply, parsed without trust: anything but the exact shape is no score.

#include <cmath>

#include "reward/chat_text.h"
#include "reward/judge.h"
#include "reward/judge_json.h"

namespace pupil {

namespace {

using nlohmann::json;

Judgement invalid(std::string what) {
  return {std::nullopt, std::move(what)};
}

bool is_grade(const json& value) {
  return value.is_number_unsigned() && value.get<uint64_t>() <= kMaxGrade;
}

// Weights are decimal fractions: without the noise of their sum, equal grades give
// the grade itself.
double rounded(double score) {
  return std::round(score * 1e9) / 1e9;
}

}  // namespace

Judgement weighed(const Rubric& rubric, const json& graded) {
  auto reason = graded.find("reason");
  if (reason == graded.end() || !reason->is_string()) {
    return invalid("the judge gave no reason");
  }
  double sum = 0;
  std::string grades;
  for (const auto& criterion : rubric.criteria) {
    auto found = graded.find(criterion.name);
    if (found == graded.end() || !is_grade(*found)) {
      return invalid("the judge gave no integer from 0 to 10 for " + criterion.name);
    }
    int grade = found->get<int>();
    sum += criterion.weight * grade;
    grades += criterion.name + " " + std::to_string(grade) + ", ";
  }
  grades.replace(grades.size() - 2, 2, ": ");
  return {rounded(sum / kMaxGrade), grades + one_line(reason->get<std::string>())};
}

Judgement read_judgement(const Rubric& rubric, std::string_view text) {
  if (text.size() > kMaxReplyBytes) return invalid("the judge's reply is too long");
  text = bare_reply(text);
  json reply = parse_strict(text, 0);
  if (!reply.is_object()) {
    return invalid(
        "the judge's reply is not one flat JSON object: " + one_line(text, 80));
  }
  if (reply.contains("reason") && reply.size() != rubric.criteria.size() + 1) {
    return invalid("the judge's reply has not the fields that were asked for");
  }
  return weighed(rubric, reply);
}

}  // namespace pupil
