#include "reward/grading_notes.h"

#include "base/quote.h"

namespace pupil {
namespace {

constexpr size_t kNoteBytes = 300;

}  // namespace

const char* Grade::result_class() const {
  using enum ExecutionResult::Outcome;
  if (!trouble.empty()) return name_of(infra_error);
  if (end != ok) return name_of(end);
  return num_passed < num_tests ? "wrong" : name_of(ok);
}

std::string one_line(const std::string& text) {
  const std::string quoted = in_quotes(text, kNoteBytes);
  return quoted.substr(1, quoted.size() - 2);
}

std::string error_text(const std::string& payload) {
  std::string text = payload;
  if (const auto at = text.find('\n'); at != std::string::npos)
    text.replace(at, 1, ": ");
  return one_line(text);
}

void fail(Grade& grade, const std::string& what) {
  if (grade.note.empty()) grade.note = one_line(what);
}

std::string failure_of(
    const std::optional<BoxMessage>& reply, BoxTalk& student, Grade& grade) {
  using enum ExecutionResult::Outcome;
  auto ended = [&](ExecutionResult::Outcome outcome) {
    if (grade.end == ok) grade.end = outcome;
  };
  if (!reply) {
    if (!student.box().child().finished()) return "sent nonsense";
    const auto end = student.box().finish();
    ended(end.outcome == ok ? crashed : end.outcome);
    return end.describe();
  }
  if (reply->kind == 'V' || reply->kind == 'O') return "";
  ended(reply->kind == 'T' ? timed_out : crashed);
  if (reply->kind == 'T') return "ran out of time";
  if (reply->kind == 'X') return "raised " + error_text(reply->payload);
  return "sent nonsense";
}

bool blames_box(BoxTalk& student, Grade& grade) {
  if (student.box().started()) return false;
  grade.trouble = one_line(student.box().finish().describe());
  grade.end = ExecutionResult::Outcome::infra_error;
  return true;
}

std::optional<BoxMessage> relay_until_verdict(BoxTalk& checker, BoxTalk& student) {
  for (;;) {
    auto message = checker.receive(&student);
    if (!message || message->kind != 'A') return message;
    if (student.over()) return std::nullopt;
    student.send('A', message->payload);
    const auto reply = student.receive(&checker);
    if (!reply) return std::nullopt;
    checker.send(reply->kind, reply->payload);
  }
}

void note_checker_end(BoxTalk& checker, BoxTalk& student, Grade& grade) {
  const bool alone = !student.over();  // the student's box is not why it ended
  const auto end = checker.box().finish();
  using enum ExecutionResult::Outcome;
  if (end.outcome == infra_error || (alone && end.outcome != timed_out)) {
    grade.trouble = one_line("the checker " + end.describe());
    grade.end = infra_error;
  }
}

}  // namespace pupil
