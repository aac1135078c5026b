#include "reward/sandbox.h"

#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "reward/sandbox_boundary.h"

namespace pupil {
namespace {

using Outcome = ExecutionResult::Outcome;

SandboxConfig small_box() {
  SandboxConfig config;
  config.wall_s = 2.5;
  config.cpu_s = 1;
  config.memory_mb = 256;
  config.processes = 16;
  return config;
}

const Sandbox& box() {
  static const Sandbox sandbox(small_box());
  return sandbox;
}

ExecutionResult run(const std::string& source, const std::string& input = "") {
  return box().run({source, input});
}

TEST(Sandbox, RunsAProgram) {
  const auto result =
      run("import sys, math\nprint(sys.stdin.read(), math.pi)", "pi is");
  EXPECT_EQ(result.outcome, Outcome::ok) << result.output;
  EXPECT_EQ(result.output, "pi is 3.141592653589793\n");
}

TEST(Sandbox, TheStandardLibraryIsThere) {
  const auto result = run(
      "import collections, heapq, json, re, itertools, functools, random, decimal, "
      "fractions, statistics, datetime, string, bisect, copy, asyncio, dataclasses\n"
      "async def f(): return 5\n"
      "print(asyncio.run(f()))");
  EXPECT_EQ(result.outcome, Outcome::ok) << result.output;
  EXPECT_EQ(result.output, "5\n");
}

TEST(Sandbox, BubblewrapGivesAFolderToWriteIn) {
  if (box().boundary() != Boundary::bubblewrap) GTEST_SKIP() << box().description();
  const auto result =
      run("open('/tmp/a', 'w').write('x')\nprint(open('/tmp/a').read())");
  EXPECT_EQ(result.output, "x\n");
}

TEST(Sandbox, OutcomesAreTold) {
  EXPECT_EQ(run("raise SystemExit(3)").exit_code, 3);
  EXPECT_EQ(run("import ctypes; ctypes.string_at(0)").signal, SIGSEGV);
  EXPECT_EQ(run("print('x' * 100000)").outcome, Outcome::output_limit);
  EXPECT_EQ(run("import time; time.sleep(100)").outcome, Outcome::timed_out);
  EXPECT_EQ(run("while True: pass").outcome, Outcome::timed_out);
}

TEST(Sandbox, RunsRepeat) {
  const std::string source = "print(list({'a', 'b', 'c', 'd', 'e', 'f'}))";
  EXPECT_EQ(run(source).output, run(source).output);
}

TEST(Sandbox, NothingOfOneRunIsSeenByTheNext) {
  run("open('/tmp/left', 'w').write('x')");  // refused where there is no /tmp
  const std::string look =
      "import os\ntry: print(os.listdir('/tmp'))\nexcept OSError: print([])";
  EXPECT_EQ(run(look).output, "[]\n");
}

TEST(Sandbox, ManyBoxesAtOnce) {
  std::vector<std::string> outputs(8);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back(
        [&, i] { outputs[i] = run("print(" + std::to_string(i) + ")").output; });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < 8; ++i) EXPECT_EQ(outputs[i], std::to_string(i) + "\n");
}

TEST(Sandbox, ABoxThatDoesNotStartSaysNothingOfTheProgram) {
  SandboxConfig config = small_box();
  config.memory_mb = 1;  // no interpreter starts in it
  config.unsafe = true;
  const Sandbox sandbox(config);
  EXPECT_EQ(sandbox.boundary(), Boundary::none);
  const auto result = sandbox.run({"print(1)", ""});
  EXPECT_EQ(result.outcome, Outcome::infra_error);
}

TEST(Sandbox, WithoutABoundaryItRefuses) {
  SandboxConfig config = small_box();
  config.memory_mb = 1;
  try {
    const Sandbox sandbox(config);
    FAIL() << "accepted " << sandbox.description();
  } catch (const std::runtime_error& error) {
    const std::string text = error.what();
    EXPECT_TRUE(text.starts_with("[sandbox] no boundary")) << text;
    EXPECT_NE(text.find("sandbox.unsafe"), std::string::npos);
  }
}

TEST(Sandbox, OnlyUnsafeGoesOnWithoutABoundary) {
  SandboxConfig config = small_box();
  EXPECT_THROW(Sandbox(config, {}), std::runtime_error);
  config.unsafe = true;
  const Sandbox sandbox(config, {});
  EXPECT_TRUE(sandbox.description().starts_with("none"));
  EXPECT_EQ(sandbox.run({"print(1)", ""}).output, "1\n");
}

}  // namespace
}  // namespace pupil
