#include "reward/grading.h"

#include <algorithm>

#include "base/random.h"
#include "reward/box_talk.h"
#include "reward/grader_programs.h"
#include "reward/grading_notes.h"

namespace pupil {
namespace {

size_t value_bytes(const SandboxConfig& config) {
  return static_cast<size_t>(config.output_kb) << 10;
}

BoxTalk talk_to(const Boxes& boxes, const Program& program) {
  return {boxes.start(program), value_bytes(boxes.sandbox.config()) + kHeaderRoom};
}

/// The reply to one call against the value that stays here.
void judge_reply(
    const LiteralTest& test,
    const std::optional<BoxMessage>& reply,
    BoxTalk& student,
    Grade& grade) {
  const std::string failure = failure_of(reply, student, grade);
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

void run_literal_tests(const Submission& submission, BoxTalk& student, Grade& grade) {
  const auto& tests = submission.tests.literal;
  const auto order = shuffled(tests.size(), submission.order_key);
  for (const size_t i : order) student.send('E', tests[i].call);
  for (const size_t i : order) {
    const auto reply = student.receive();
    judge_reply(tests[i], reply, student, grade);
  }
}

/// One test in the checker. False if neither this nor a later one can be asked.
bool run_checker_test(
    const std::string& test, BoxTalk& checker, BoxTalk& student, Grade& grade) {
  checker.send('E', test);
  const auto verdict = relay_until_verdict(checker, student);
  if (!verdict) {
    ++grade.num_tests;
    fail(grade, "the program " + failure_of(std::nullopt, student, grade));
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

/// Runs the tests' setup in the checker. False if it did not come to its end.
bool set_up(
    const Submission& submission, BoxTalk& checker, BoxTalk& student, Grade& grade) {
  std::string names = submission.entry_point;
  for (const auto& name : submission.classes) names += " " + name;
  checker.send('C', names + "\n" + submission.setup);
  if (submission.classes.empty()) return true;  // it asks the student for nothing
  if (relay_until_verdict(checker, student)) return true;
  fail(grade, "the program " + failure_of(std::nullopt, student, grade));
  return false;
}

void run_other_tests(
    const Submission& submission, BoxTalk& checker, BoxTalk& student, Grade& grade) {
  const auto& tests = submission.tests.other;
  bool goes_on = set_up(submission, checker, student, grade);
  size_t done = 0;
  while (goes_on && done < tests.size())
    goes_on = run_checker_test(tests[done++], checker, student, grade);
  if (goes_on) return;
  note_checker_end(checker, student, grade);
  grade.num_tests += static_cast<int>(tests.size() - done);
}

/// Runs what the task puts before an answer. False, with the trouble noted, if it does
/// not run here: that is no answer's fault.
bool load_preamble(const Submission& submission, BoxTalk& student, Grade& grade) {
  if (submission.preamble.empty()) return true;
  student.send('C', submission.preamble);
  const auto reply = student.receive();
  if (blames_box(student, grade)) return false;
  const std::string failure = failure_of(reply, student, grade);
  if (!failure.empty()) grade.trouble = "the code that the task gives " + failure;
  return failure.empty();
}

/// Loads the code. False, with the reason noted, if it does not run.
bool load(const Submission& submission, BoxTalk& student, Grade& grade) {
  if (!load_preamble(submission, student, grade)) return false;
  student.send('C', submission.code);
  const auto reply = student.receive();
  if (blames_box(student, grade)) return false;
  const std::string failure = failure_of(reply, student, grade);
  if (failure.empty()) return true;
  fail(grade, "the code " + failure);
  grade.num_tests += static_cast<int>(submission.tests.other.size());
  return false;
}

}  // namespace

Boxes fresh_boxes(const Sandbox& sandbox) {
  return {sandbox, [&sandbox](const Program& program) {
            return sandbox.start(program, {true, kUnlimitedOutput});
          }};
}

Program student_box_program(const SandboxConfig& config) {
  return {
      .source =
          student_program(config.cpu_s / 5, config.wall_s / 5, value_bytes(config)),
      .input = ""};
}

Program checker_box_program(const SandboxConfig& config) {
  return {.source = checker_program(value_bytes(config)), .input = ""};
}

Grade grade(const Boxes& boxes, const Submission& submission) {
  Grade result;
  result.num_tests = static_cast<int>(submission.tests.literal.size());
  const auto& config = boxes.sandbox.config();
  BoxTalk student = talk_to(boxes, student_box_program(config));
  std::optional<BoxTalk> checker;  // starts while the student's code loads
  if (!submission.tests.other.empty()) {
    checker.emplace(talk_to(boxes, checker_box_program(config)));
  }
  if (!load(submission, student, result)) return result;
  run_literal_tests(submission, student, result);
  if (checker) run_other_tests(submission, *checker, student, result);
  return result;
}

}  // namespace pupil
