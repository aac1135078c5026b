#include "reward/grading.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "base/quote.h"
#include "reward/box_talk.h"
#include "reward/grader_programs.h"

namespace pupil {
namespace {

constexpr size_t kHeaderRoom = 1 << 10;
constexpr size_t kNoOutputLimit = size_t{1} << 40;  // messages are limited one by one

size_t value_bytes(const Sandbox& sandbox) {
  return static_cast<size_t>(sandbox.config().output_kb) << 10;
}

BoxTalk start_student(const Sandbox& sandbox) {
  const auto& config = sandbox.config();
  const size_t bytes = value_bytes(sandbox);
  const Program program{
      student_program(config.cpu_s / 5, config.wall_s / 5, bytes), ""};
  return {sandbox.start(program, {true, kNoOutputLimit}), bytes + kHeaderRoom};
}

BoxTalk start_checker(const Sandbox& sandbox, const std::string& entry_point) {
  const size_t bytes = value_bytes(sandbox);
  const Program program{checker_program(entry_point, bytes), ""};
  return {sandbox.start(program, {true, kNoOutputLimit}), bytes + kHeaderRoom};
}

constexpr size_t kNoteBytes = 300;

/// Without control characters, and cut between two UTF-8 characters.
std::string one_line(const std::string& text) {
  const std::string quoted = in_quotes(text, kNoteBytes);
  return quoted.substr(1, quoted.size() - 2);
}

/// "ZeroDivisionError\ndivision by zero" as a reader wants it.
std::string error_text(const std::string& payload) {
  std::string text = payload;
  if (const auto at = text.find('\n'); at != std::string::npos)
    text.replace(at, 1, ": ");
  return one_line(text);
}

/// How a reply differs from a plain value; "" if it is one.
std::string failure_of(const std::optional<BoxMessage>& reply, BoxTalk& student) {
  if (!reply) {
    return student.box().child().finished() ? student.box().finish().describe()
                                            : "sent nonsense";
  }
  if (reply->kind == 'T') return "ran out of time";
  if (reply->kind == 'X') return "raised " + error_text(reply->payload);
  return reply->kind == 'V' ? "" : "sent nonsense";
}

void fail(Grade& grade, const std::string& what) {
  if (grade.note.empty()) grade.note = one_line(what);
}

/// The reply to one call against the value that stays here.
void judge_reply(
    const LiteralTest& test,
    const std::optional<BoxMessage>& reply,
    BoxTalk& student,
    Grade& grade) {
  const std::string failure = failure_of(reply, student);
  if (!failure.empty()) return fail(grade, test.call + " " + failure);
  std::string_view bytes = reply->payload;
  const auto value = decode_value(bytes);
  if (!value || !bytes.empty()) return fail(grade, test.call + " sent nonsense");
  if (python_equal(*value, test.expected)) {
    ++grade.num_passed;
  } else {
    fail(grade, test.call + " gave " + preview(*value));
  }
}

std::vector<size_t> shuffled(size_t count, uint64_t key) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(key);
  for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  return order;
}

void run_literal_tests(const Submission& submission, BoxTalk& student, Grade& grade) {
  const auto& tests = submission.tests.literal;
  const auto order = shuffled(tests.size(), submission.order_key);
  for (const size_t i : order) student.send('E', tests[i].call);
  for (const size_t i : order) {
    const auto reply = student.receive();
    judge_reply(tests[i], reply, student, grade);
  }
}

/// Hands the checker's calls to the student and the replies back, until the verdict.
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

/// One test in the checker. False if neither this nor a later one can be asked.
bool run_checker_test(
    const std::string& test, BoxTalk& checker, BoxTalk& student, Grade& grade) {
  checker.send('E', test);
  const auto verdict = relay_until_verdict(checker, student);
  if (!verdict) {
    ++grade.num_tests;
    fail(grade, "the program " + failure_of(std::nullopt, student));
    return false;
  }
  if (verdict->kind == 'U') return true;  // says nothing about the answer
  ++grade.num_tests;
  if (verdict->kind == 'P') {
    ++grade.num_passed;
  } else {
    fail(grade, "a test failed: " + error_text(verdict->payload));
  }
  return true;
}

void run_other_tests(
    const Submission& submission, BoxTalk& checker, BoxTalk& student, Grade& grade) {
  const auto& tests = submission.tests.other;
  checker.send('C', submission.setup);
  for (size_t i = 0; i < tests.size(); ++i) {
    if (run_checker_test(tests[i], checker, student, grade)) continue;
    const bool alone = !student.over();  // the student's box is not why it ended
    const auto end = checker.box().finish();
    using enum ExecutionResult::Outcome;
    if (end.outcome == infra_error || (alone && end.outcome != timed_out)) {
      grade.trouble = one_line("the checker " + end.describe());
    }
    grade.num_tests += static_cast<int>(tests.size() - i - 1);
    return;
  }
}

/// Loads the code. False, with the reason noted, if it does not run.
bool load(const Submission& submission, BoxTalk& student, Grade& grade) {
  student.send('C', submission.code);
  const auto reply = student.receive();
  if (!student.box().started()) {
    grade.trouble = one_line(student.box().finish().describe());
    return false;
  }
  const std::string failure = failure_of(reply, student);
  if (failure.empty()) return true;
  fail(grade, "the code " + failure);
  grade.num_tests += static_cast<int>(submission.tests.other.size());
  return false;
}

}  // namespace

Grade grade(const Sandbox& sandbox, const Submission& submission) {
  Grade result;
  result.num_tests = static_cast<int>(submission.tests.literal.size());
  BoxTalk student = start_student(sandbox);
  std::optional<BoxTalk> checker;  // starts while the student's code loads
  if (!submission.tests.other.empty()) {
    checker.emplace(start_checker(sandbox, submission.entry_point));
  }
  if (!load(submission, student, result)) return result;
  run_literal_tests(submission, student, result);
  if (checker) run_other_tests(submission, *checker, student, result);
  return result;
}

}  // namespace pupil
