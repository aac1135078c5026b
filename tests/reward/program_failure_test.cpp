// All the ways in which a reward program may fail.

#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <sstream>
#include <thread>

#include "reward/program_support.h"

namespace pupil {
namespace {

// Only the answer on which it fails goes without a score.
TEST_F(ProgramRewardTest, OneAnswerThatKillsItCostsNoOtherItsScore) {
  const auto reward = program(R"py(
for request in requests():
    if any("poison" in item["completion"] for item in request["items"]):
        print("cannot stand it", file=sys.stderr)
        os._exit(3)
    reply(request, lengths(request))
)py");
  for (int i = 0; i < 3; ++i) {
    const auto scores = score(reward, {"a", "poison", "abc"});
    expect_values(scores, {1, {}, 3});
    EXPECT_EQ(
        scores[1].reason,
        "mine: ended with exit code 3; its stderr ends 'cannot stand it'");
  }
}

TEST_F(ProgramRewardTest, AHangEndsAtTheDeadline) {
  options_.program.timeout_s = 1.5;
  const auto reward = program(R"py(
for request in requests():
    if any("hang" in item["completion"] for item in request["items"]):
        time.sleep(1000)
    reply(request, lengths(request))
)py");
  std::vector<Score> scores;
  const double seconds =
      seconds_of([&] { scores = score(reward, {"a", "hang", "abc"}); });
  expect_values(scores, {1, {}, 3});
  EXPECT_EQ(scores[1].reason, "mine: no reply within 1.5 s (timeout_s)");
  EXPECT_LT(seconds, 15);
}

TEST_F(ProgramRewardTest, HalfALineAndThenSilenceIsAHang) {
  options_.program.timeout_s = 0.3;
  options_.program.max_failures = 2;
  const auto reward = program(R"py(
for request in requests():
    sys.stdout.write('{"id": %d, "scores": [1' % request["id"])
    sys.stdout.flush()
)py");
  EXPECT_FALSE(score(reward, {"a"})[0].value);
}

TEST_F(ProgramRewardTest, OneThatReadsNothingIsAHang) {
  options_.program.timeout_s = 0.3;
  options_.program.max_failures = 2;
  const auto reward = program("time.sleep(1000)\n");
  const double seconds = seconds_of(
      [&] { EXPECT_FALSE(score(reward, {std::string(1 << 20, 'x')})[0].value); });
  EXPECT_LT(seconds, 5);
}

TEST_F(ProgramRewardTest, AFloodOnStdoutEndsIt) {
  options_.program.max_failures = 2;
  for (const std::string line : {"\"x\" * 65536", "\"junk\\n\" * 10000"}) {
    const auto reward =
        program("next(requests())\nwhile True: sys.stdout.write(" + line + ")\n");
    std::vector<Score> scores;
    const double seconds = seconds_of([&] { scores = score(reward, {"a"}); });
    EXPECT_FALSE(scores[0].value);
    EXPECT_NE(
        scores[0].reason.find("more than 16 MiB on its stdout"), std::string::npos)
        << scores[0].reason;
    EXPECT_LT(seconds, 20);
  }
}

TEST_F(ProgramRewardTest, AFloodOnStderrIsKeptToAMegabyte) {
  const auto reward = program(R"py(
for request in requests():
    for i in range(300):
        sys.stderr.write("noise %d " % i + "e" * 16384 + "\n")
    reply(request, lengths(request))
)py");
  expect_values(score(reward, {"abc"}), {3});
  const auto kept = read_text(at("rewards/mine.stderr"));
  EXPECT_TRUE(kept.size() > 60000 && kept.size() <= 1u << 20) << kept.size();
}

TEST_F(ProgramRewardTest, StderrIsKeptAndQuoted) {
  const auto reward = program(R"py(
print("starting", file=sys.stderr, flush=True)
for request in requests():
    print("at work", file=sys.stderr, flush=True)
    {}["missing key"]
)py");
  const auto scores = score(reward, {"a"});
  EXPECT_FALSE(scores[0].value);
  EXPECT_EQ(
      scores[0].reason,
      "mine: ended with exit code 1; its stderr ends 'KeyError: 'missing key''");
  const auto kept = read_text(at("rewards/mine.stderr"));
  EXPECT_TRUE(kept.starts_with("starting\nat work\nTraceback")) << kept;
}

TEST_F(ProgramRewardTest, BrokenRepliesFailAtOnceAndSayWhy) {
  options_.program.timeout_s = 60;
  const auto reward = program(R"py(
for request in requests():
    reply(request, [float("nan")] * len(request["items"]))
)py");
  std::vector<Score> scores;
  EXPECT_LT(seconds_of([&] { scores = score(reward, {"a", "b"}); }), 20);
  for (const auto& [value, reason] : scores) {
    EXPECT_FALSE(value);
    EXPECT_NE(reason.find("for NaN and infinity send null"), std::string::npos);
  }
}

TEST_F(ProgramRewardTest, AfterFailuresInARowItIsGivenUp) {
  options_.program.max_failures = 3;
  const auto reward = program("count('starts')\nsys.exit(4)\n");
  const auto scores = score(reward, {"a", "b", "c", "d", "e"});
  for (const auto& score : scores) EXPECT_FALSE(score.value);
  EXPECT_EQ(
      scores[4].reason,
      "mine: given up after 3 failures in a row; the last: ended with exit code 4");
  EXPECT_EQ(calls("starts").size(), 3u);
  score(reward, {"a", "b"});
  EXPECT_EQ(calls("starts").size(), 3u);
}

TEST_F(ProgramRewardTest, GivingItUpStopsTheRunIfAsked) {
  options_.stop_when_given_up = true;
  options_.program.max_failures = 2;
  const auto reward = program("for request in requests(): sys.exit(5)\n");
  try {
    score(reward, {"a", "b"});
    FAIL() << "did not throw";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(
        std::string(error.what()),
        "[reward] mine: given up after 2 failures in a row; the last: ended with exit "
        "code 5");
  }
}

TEST_F(ProgramRewardTest, BackOffGrows) {
  options_.program.max_failures = 5;
  options_.program.backoff_s = 0.1;
  const auto reward = program("sys.exit(1)\n");
  // Starts 3, 4 and 5 wait 0.1, 0.2 and 0.4 s.
  EXPECT_GT(seconds_of([&] { score(reward, {"a", "b", "c", "d", "e"}); }), 0.7);
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(ProgramRewardTest, MistakesInTheCommandAreToldAtTheStart) {
  options_.stop_when_given_up = true;
  options_.program.command = {"no-such-program-here"};
  EXPECT_EQ(
      error_of([&] { program_reward(options_); }),
      "[config] reward.functions: mine: no program 'no-such-program-here' that can be "
      "run; expected a path or a name along the PATH");
  options_.program.command = {dir_.path().string()};
  EXPECT_NE(error_of([&] { program_reward(options_); }), "no error");
  const auto error = error_of([&] { program("import no_such_module_here\n"); });
  EXPECT_EQ(
      error,
      "[config] reward.functions: mine: its program does not stay up: ended with exit "
      "code 1; its stderr ends 'ModuleNotFoundError: No module named "
      "'no_such_module_here''");
}

TEST_F(ProgramRewardTest, NothingIsLeftBehind) {
  options_.program.timeout_s = 1;
  options_.program.max_failures = 3;
  for (const std::string body :
       {"for request in requests(): reply(request, lengths(request))\n",
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid(), file=open(sys.argv[0] + '.pid', 'a'))\n"
        "time.sleep(1000)\n",
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "print(child.pid, file=open(sys.argv[0] + '.pid', 'a'))\n"
        "time.sleep(1000)\n",
        "sys.exit(1)\n"}) {
    const auto reward = program(body);
    score(reward, {"a", "b"});
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  std::istringstream pids(read_text(at("mine.py.pid")));
  int seen = 0;
  for (pid_t pid; pids >> pid; ++seen) {
    // A grandchild is init's to reap; it may take a moment.
    for (int i = 0; i < 100 && ::kill(pid, 0) == 0; ++i) {
      const auto state = read_text("/proc/" + std::to_string(pid) + "/stat");
      if (state.find(") Z ") != state.npos) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const auto state = read_text("/proc/" + std::to_string(pid) + "/stat");
    EXPECT_TRUE(::kill(pid, 0) != 0 || state.find(") Z ") != state.npos) << state;
  }
  EXPECT_GE(seen, 1);  // on a busy machine some do not come to say it in time
}

}  // namespace
}  // namespace pupil
