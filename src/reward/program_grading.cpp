#include "reward/program_grading.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "base/quote.h"
#include "base/random.h"
#include "reward/grader_programs.h"
#include "reward/grading_notes.h"
#include "reward/program_commands.h"
#include "reward/runner_programs.h"

namespace pupil {
namespace {

constexpr int kTrials = 3;  // of a language's tools, as long as they run out of time

size_t output_bytes(const SandboxConfig& config) {
  return static_cast<size_t>(config.output_kb) << 10;
}

RunnerLimits limits_of(const Sandbox& sandbox) {
  const auto& config = sandbox.config();
  return {
      .compile_s = config.compile_s,
      .run_cpu_s = config.cpu_s / 2,
      .run_wall_s = config.wall_s / 2,
      .output_bytes = output_bytes(config),
      .owns_processes = sandbox.has_scratch_folder()};
}

BoxTalk talk_to(const Boxes& boxes, std::string source, Language tools) {
  const Program program{.source = std::move(source), .input = "", .tools = tools};
  return {boxes.start(program), output_bytes(boxes.sandbox.config()) + kHeaderRoom};
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) {
    if (!text.empty()) text += '\0';
    text += word;
  }
  return text;
}

/// One run, as the box tells it.
struct RunReport {
  int exit_code = 0, signal = 0;
  std::string trouble, errors, output;
};

std::optional<RunReport> as_report(const std::string& payload) {
  const auto line_end = payload.find('\n');
  if (line_end == std::string::npos) return std::nullopt;
  std::istringstream head(payload.substr(0, line_end));
  RunReport report;
  size_t num_errors = 0;
  head >> report.exit_code >> report.signal >> report.trouble >> num_errors;
  const auto rest = payload.substr(line_end + 1);
  if (!head || num_errors > rest.size()) return std::nullopt;
  report.errors = rest.substr(0, num_errors);
  report.output = rest.substr(num_errors);
  return report;
}

/// How a run failed by itself; "" if it ended well.
std::string failure_of_run(const RunReport& report, Grade& grade) {
  using enum ExecutionResult::Outcome;
  auto ended = [&](ExecutionResult::Outcome outcome, std::string words) {
    if (grade.end == ok) grade.end = outcome;
    return words;
  };
  if (report.trouble == "timeout") return ended(timed_out, "ran out of time");
  if (report.trouble == "output") {
    return ended(output_limit, "wrote more than it may");
  }
  if (report.signal) {
    return ended(crashed, "was killed by signal " + std::to_string(report.signal));
  }
  if (report.exit_code == 0) return "";
  auto words = "ended with exit code " + std::to_string(report.exit_code);
  auto last = report.errors.substr(0, report.errors.find_last_not_of(" \r\n") + 1);
  last.erase(0, last.rfind('\n') + 1);
  return ended(crashed, last.empty() ? words : words + ": " + last);
}

void judge_run(
    const IoTest& test, const std::string& payload, size_t number, Grade& grade) {
  const std::string place = "run " + std::to_string(number + 1) + " ";
  const auto report = as_report(payload);
  if (!report) return fail(grade, place + "sent nonsense");
  const std::string failure = failure_of_run(*report, grade);
  if (!failure.empty()) return fail(grade, place + failure);
  if (same_output(report->output, test.output)) {
    ++grade.num_passed;
  } else {
    fail(grade, place + "printed " + in_quotes(report->output, 80));
  }
}

/// Hands over the program and compiles it. False, with the reason noted, if there is
/// nothing to run.
bool prepare(
    const Boxes& boxes,
    const ProgramSubmission& submission,
    BoxTalk& student,
    Grade& grade) {
  const auto commands =
      commands_for(boxes.sandbox, submission.language, submission.code);
  if (!commands.file.empty()) {
    student.send('F', commands.file + "\n" + submission.code);
  }
  student.send('P', joined(commands.run));
  // Without a compiler to run, a reply still tells that the box is there.
  student.send(commands.compile.empty() ? 'N' : 'K', joined(commands.compile));
  const auto reply = student.receive();
  if (blames_box(student, grade)) return false;
  if (reply && reply->kind == 'X') {
    grade.end = ExecutionResult::Outcome::crashed;
    fail(grade, "the code does not compile: " + first_error(reply->payload));
    return false;
  }
  const std::string failure = failure_of(reply, student, grade);
  if (!failure.empty()) fail(grade, "the code " + failure);
  return failure.empty();
}

void run_pairs(const ProgramSubmission& submission, BoxTalk& student, Grade& grade) {
  const auto& tests = submission.task->io_tests;
  for (const size_t i : shuffled(tests.size(), submission.order_key)) {
    student.send('A', tests[i].input);
    const auto reply = student.receive();
    const std::string failure = failure_of(reply, student, grade);
    if (!failure.empty()) {
      fail(grade, "run " + std::to_string(i + 1) + " " + failure);
    } else {
      judge_run(tests[i], reply->payload, i, grade);
    }
    if (!reply) return;
  }
}

Grade grade_pairs(const Boxes& boxes, const ProgramSubmission& submission) {
  Grade grade;
  grade.num_tests = static_cast<int>(submission.task->io_tests.size());
  BoxTalk student =
      talk_to(boxes, runner_program(limits_of(boxes.sandbox)), submission.language);
  if (prepare(boxes, submission, student, grade)) run_pairs(submission, student, grade);
  return grade;
}

/// The user's command in a box of its own, with stand-ins for the student's program.
void run_command(
    const Boxes& boxes,
    const ProgramSubmission& submission,
    BoxTalk& student,
    Grade& grade) {
  const auto& config = boxes.sandbox.config();
  BoxTalk checker =
      talk_to(boxes, commander_program(limits_of(boxes.sandbox)), submission.language);
  checker.send(
      'F',
      "solution.py\n" + stand_in_module(ask_through_commander(), output_bytes(config)));
  for (const auto& file : submission.task->test_files) {
    checker.send('F', file.name + "\n" + file.content);
  }
  checker.send('G', joined(submission.task->test_command));
  const auto verdict = relay_until_verdict(checker, student);
  if (!verdict) {
    fail(grade, "the program " + failure_of(std::nullopt, student, grade));
    note_checker_end(checker, student, grade);
  } else if (verdict->kind == 'U') {
    grade.trouble = "the test command cannot be run: " + error_text(verdict->payload);
  } else if (verdict->kind == 'P') {
    grade.num_passed = 1;
  } else {
    fail(grade, "the tests failed: " + error_text(verdict->payload));
  }
}

/// A function that tests import is called; any other program is run.
bool is_called(const ProgramSubmission& submission) {
  return submission.language == Language::python &&
         !submission.task->entry_point.empty();
}

Grade grade_by_command(const Boxes& boxes, const ProgramSubmission& submission) {
  Grade grade;
  grade.num_tests = 1;
  if (!boxes.sandbox.has_scratch_folder()) {
    grade.trouble = "a test command needs bubblewrap, for a folder to write in";
    return grade;
  }
  if (!is_called(submission)) {
    BoxTalk student =
        talk_to(boxes, runner_program(limits_of(boxes.sandbox)), submission.language);
    if (prepare(boxes, submission, student, grade)) {
      run_command(boxes, submission, student, grade);
    }
    return grade;
  }
  const Program program = student_box_program(boxes.sandbox.config());
  BoxTalk student(
      boxes.start(program), output_bytes(boxes.sandbox.config()) + kHeaderRoom);
  student.send('C', submission.code);
  const auto reply = student.receive();
  if (blames_box(student, grade)) return grade;
  const std::string failure = failure_of(reply, student, grade);
  if (failure.empty()) {
    run_command(boxes, submission, student, grade);
  } else {
    fail(grade, "the code " + failure);
  }
  return grade;
}

}  // namespace

bool same_output(std::string_view actual, std::string_view expected) {
  auto trimmed = [](std::string_view text) {
    const auto end = text.find_last_not_of(" \t\r\n");
    return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
  };
  auto take_line = [&](std::string_view& text) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    return line;
  };
  std::string_view a = trimmed(actual), b = trimmed(expected);
  while (!a.empty() && !b.empty()) {
    if (take_line(a) != take_line(b)) return false;
  }
  return a.empty() && b.empty();
}

Grade grade_program(const Boxes& boxes, const ProgramSubmission& submission) {
  return submission.task->test_command.empty() ? grade_pairs(boxes, submission)
                                               : grade_by_command(boxes, submission);
}

std::string tools_trouble(const Boxes& boxes, Language language) {
  const auto missing = missing_tools(boxes.sandbox, language);
  if (!missing.empty()) return missing;
  Task task;
  task.io_tests = {{"hello\n", "hello\n"}};
  const ProgramSubmission greeting{
      .language = language, .code = echo_program(language), .task = &task};
  Grade trial = grade_program(boxes, greeting);
  // A machine that is busy for a moment says nothing about the tools.
  for (int i = 1; i < kTrials && trial.end == ExecutionResult::Outcome::timed_out;
       ++i) {
    trial = grade_program(boxes, greeting);
  }
  if (trial.num_passed == 1) return "";
  const std::string why = trial.trouble.empty() ? trial.note : trial.trouble;
  return std::string(name_of(language)) + " does not work in a box: " + why;
}

}  // namespace pupil
