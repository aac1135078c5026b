#include "base/process.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <fcntl.h>

#include <csignal>
#include <fstream>
#include <thread>

namespace pupil {
namespace {

ProcessOptions shell(const std::string& script) {
  ProcessOptions options;
  options.argv = {"/bin/sh", "-c", script};
  options.environment = {"PATH=/usr/bin:/bin"};
  return options;
}

TEST(Process, OutputAndExitCode) {
  const auto result = run_process(shell("echo out; echo err >&2; exit 3"));
  EXPECT_EQ(result.start_error, "");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.output, "out\nerr\n");
}

TEST(Process, InputLargerThanAPipeComesBackWhole) {
  auto options = shell("cat");
  for (int i = 0; i < 50000; ++i) options.input += std::to_string(i) + "\n";
  options.output_bytes = 1 << 20;
  const std::string sent = options.input;
  EXPECT_EQ(run_process(options).output, sent);
}

TEST(Process, InputThatNobodyReadsDoesNotStopUs) {
  auto options = shell("exec 0<&-; sleep 0.05; exit 5");
  options.input.assign(1 << 20, 'x');
  EXPECT_EQ(run_process(options).exit_code, 5);
}

TEST(Process, EnvironmentIsTheGivenOneAlone) {
  ::setenv("PUPIL_TEST_SECRET", "secret", 1);
  auto options = shell("/usr/bin/env");
  options.environment = {"A=1"};
  const auto output = run_process(options).output;
  EXPECT_EQ(output.find("secret"), std::string::npos);
  EXPECT_NE(output.find("A=1\n"), std::string::npos);
}

TEST(Process, NoDescriptorIsInherited) {
  const int leak = ::open("/dev/null", 0);
  const auto result =
      run_process(shell("for f in 3 4 5 6 7 8 9; do "
                        "{ true >&$f; } 2>/dev/null && echo $f; done; true"));
  ::close(leak);
  EXPECT_EQ(result.output, "");
}

TEST(Process, FilesStandAtDescriptorsFromThree) {
  auto options = shell("cat <&3; cat <&4");
  options.files = {"first ", "second"};
  EXPECT_EQ(run_process(options).output, "first second");
}

TEST(Process, DeadlineKillsTheGroup) {
  auto options = shell("sleep 100 & sleep 100");
  options.wall_s = 0.2;
  const auto result = run_process(options);
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.signal, SIGKILL);
  EXPECT_LT(result.wall_s, 5);
}

TEST(Process, ALingeringGrandchildIsKilled) {
  const auto result = run_process(shell("sleep 100 & echo $!; exit 0"));
  EXPECT_EQ(result.exit_code, 0);
  const pid_t grandchild = std::stoi(result.output);
  for (int i = 0; i < 100 && ::kill(grandchild, 0) == 0; ++i) {
    std::ifstream stat("/proc/" + std::to_string(grandchild) + "/stat");
    std::string text;
    std::getline(stat, text);
    if (text.find(") Z") != std::string::npos) return;  // dead; its new parent is slow
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_NE(::kill(grandchild, 0), 0);
}

TEST(Process, OutputLimitKills) {
  auto options = shell("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done");
  options.output_bytes = 1000;
  const auto result = run_process(options);
  EXPECT_TRUE(result.output_exceeded);
  EXPECT_EQ(result.output.size(), 1000u);
}

TEST(Process, LimitsHold) {
  auto options = shell("ulimit -n; ulimit -c");
  options.limits = {{RLIMIT_NOFILE, 33, 33}, {RLIMIT_CORE, 0, 0}};
  EXPECT_EQ(run_process(options).output, "33\n0\n");
}

TEST(Process, WatchKillsWithItsReason) {
  auto options = shell("sleep 100");
  int calls = 0;
  options.watch = [&](pid_t) { return ++calls == 3 ? "enough" : ""; };
  const auto result = run_process(options);
  EXPECT_EQ(result.watch_reason, "enough");
  EXPECT_EQ(calls, 3);
}

TEST(Process, WhatCannotStartSaysSo) {
  ProcessOptions options;
  options.argv = {"/nonexistent/program"};
  const auto result = run_process(options);
  EXPECT_EQ(
      result.start_error,
      "cannot start /nonexistent/program: No such file or directory");
  auto elsewhere = shell("true");
  elsewhere.directory = "/nonexistent";
  EXPECT_EQ(
      run_process(elsewhere).start_error,
      "cannot enter /nonexistent: No such file or directory");
}

TEST(Process, AConversation) {
  auto options = shell("while read line; do echo \"<$line>\"; done");
  options.keep_input_open = true;
  Child child(options);
  Child* self = &child;
  for (const std::string word : {"one", "two"}) {
    child.send(word + "\n");
    while (child.output() != "<" + word + ">\n") Child::pump({&self, 1}, 1.0);
    child.output().clear();
  }
  child.close_input();
  while (!child.finished()) Child::pump({&self, 1}, 1.0);
  EXPECT_EQ(child.result().exit_code, 0);
}

TEST(Process, StderrMayBeApartAndItsEndKept) {
  auto options = shell("echo out; echo one >&2; echo two >&2; exit 3");
  options.error_bytes = 6;
  const auto result = run_process(options);
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.errors, "e\ntwo\n");
  EXPECT_EQ(result.exit_code, 3);
}

TEST(Process, AFloodOnStderrThatIsApartEndsNothing) {
  auto options =
      shell("head -c 3000000 /dev/zero | tr '\\0' e >&2; echo end >&2; echo out");
  options.error_bytes = 1000;
  const auto result = run_process(options);
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.errors, std::string(996, 'e') + "end\n");
}

TEST(Process, AFloodOnStderrThatIsTakenAfterEachStepIsWhole) {
  auto options = shell("head -c 30000000 /dev/zero >&2");
  options.error_bytes = kErrorsOfOneStep;
  Child child(options);
  Child* self = &child;
  size_t taken = 0;
  while (!child.finished()) {
    Child::pump({&self, 1}, 1.0);
    taken += child.errors().size();
    child.errors().clear();
  }
  EXPECT_EQ(taken, 30000000u);
}

TEST(Process, TheOutputLimitCanBeRenewed) {
  auto options =
      shell("while read n; do head -c $n /dev/zero | tr '\\0' x; echo; done");
  options.keep_input_open = true;
  options.output_bytes = 1000;
  Child child(options);
  Child* self = &child;
  for (int i = 0; i < 5; ++i) {
    child.renew_output_limit();
    child.send("900\n");
    while (child.output().size() < 901) Child::pump({&self, 1}, 1.0);
    child.output().clear();
  }
  child.send("900\n");  // not renewed
  while (!child.finished()) Child::pump({&self, 1}, 1.0);
  EXPECT_TRUE(child.result().output_exceeded);
}

TEST(Process, ManyAtOnce) {
  std::vector<std::string> outputs(16);
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      outputs[i] = run_process(shell("echo " + std::to_string(i))).output;
    });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < 16; ++i) EXPECT_EQ(outputs[i], std::to_string(i) + "\n");
}

TEST(Process, NothingIsLeftUnreaped) {
  run_process(shell("true"));
  { Child abandoned(shell("sleep 100")); }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace pupil
