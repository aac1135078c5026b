// Every boundary that this machine can set up, each against every attack, as root and
// as a user without rights.

#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <set>

#include "base/parallel.h"
#include "reward/more_sandbox_attacks.h"
#include "reward/sandbox.h"
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

// A box that shares its user with others has room for theirs, too, until the watch
// looks.
int process_limit(const Sandbox& sandbox) {
  const bool shared = sandbox.boundary() == Boundary::landlock && ::geteuid() != 0;
  return shared ? small_box().processes * 12 : small_box().processes;
}

std::string replaced(std::string text, const std::string& word, const std::string& by) {
  for (size_t at; (at = text.find(word)) != std::string::npos;) {
    text.replace(at, word.size(), by);
  }
  return text;
}

std::string filled_in(const Sandbox& sandbox, const char* program) {
  auto text = replaced(program, "TRAINER", std::to_string(::getpid()));
  text = replaced(text, "ALLOWED", std::to_string(process_limit(sandbox)));
  return replaced(text, "SOURCE", PUPIL_SOURCE_DIR);
}

void expect_contained(const Sandbox& sandbox, const Attack& attack) {
  SCOPED_TRACE(sandbox.description() + ": " + attack.name);
  const auto begin = std::chrono::steady_clock::now();
  const auto result = sandbox.run({filled_in(sandbox, attack.program), ""});
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_NE(result.outcome, Outcome::infra_error) << result.output;
  EXPECT_EQ(result.output.find("HOLE"), std::string::npos) << result.output;
  EXPECT_LT(took.count(), small_box().wall_s + 5);  // 2 s to empty it, 3 s of load
  EXPECT_LE(result.output.size(), 64u << 10);
}

/// Processes of the users that the boxes of this process have when it is root.
int num_box_processes() {
  const unsigned first = 61184 + static_cast<unsigned>(::getpid() % 66) * 64;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    struct stat info {};
    if (::stat(entry.path().c_str(), &info) != 0) continue;
    count += info.st_uid >= first && info.st_uid < first + 64;
  }
  return count;
}

void expect_attacks_contained(const Sandbox& sandbox) {
  ::setenv("PUPIL_SECRET", "PUPIL_SECRET", 1);
  const auto attacks = all_attacks();
  parallel_for(
      attacks.size(), 4, [&](size_t i) { expect_contained(sandbox, attacks[i]); });
  EXPECT_EQ(num_box_processes(), 0);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was left";
}

constexpr int kSkipped = 77;

/// 0 if `boundary` holds, 1 if it does not, kSkipped if it cannot be set up here.
int attack(MakePlan boundary) {
  try {
    const Sandbox sandbox(small_box(), {&boundary, 1});
    expect_attacks_contained(sandbox);
  } catch (const std::runtime_error& error) {
    const std::string text = error.what();
    bool absent = false;
    for (const char* sign : {"is not installed", "has no Landlock", "did not start"}) {
      absent |= text.find(sign) != std::string::npos;
    }
    std::printf("%s\n", error.what());
    return absent ? kSkipped : 1;
  }
  return ::testing::Test::HasFailure() ? 1 : 0;
}

/// What `job` returns in a process of its own that is nobody.
int as_nobody(const std::function<int()>& job) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const bool nobody = ::setgroups(0, nullptr) == 0 &&
                        ::setresgid(65534, 65534, 65534) == 0 &&
                        ::setresuid(65534, 65534, 65534) == 0;
    const int result = nobody ? job() : 1;
    std::fflush(nullptr);
    ::_exit(result);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

void expect_holds(MakePlan boundary, bool root) {
  if (root && ::geteuid() != 0) GTEST_SKIP() << "this test needs root";
  const bool change = !root && ::geteuid() == 0;
  const int result =
      change ? as_nobody([boundary] { return attack(boundary); }) : attack(boundary);
  if (result == kSkipped) GTEST_SKIP() << "the boundary cannot be set up here";
  EXPECT_EQ(result, 0);
}

// 1 is a shell's and tested with programs; 36 to 44 are not attacks on the box.
TEST(SandboxBoundary, EveryAttackOfTheListIsThere) {
  std::set<int> numbers;
  for (const auto& attack : all_attacks()) numbers.insert(attack.number);
  for (int number = 2; number <= 35; ++number) {
    EXPECT_TRUE(numbers.contains(number)) << number;
  }
}

// Under 1 s, other work on the machine aside: the best of three, with room for that.
TEST(SandboxBoundary, TheSelfTestIsQuick) {
  double best_s = 100;  // other tests run beside this one
  for (int i = 0; i < 20 && best_s >= 1.0; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const Sandbox sandbox(small_box());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    best_s = std::min(best_s, took.count());
  }
  EXPECT_LT(best_s, 1.0);
}

// One test each, because every test is a process of its own.
TEST(SandboxBoundary, BubblewrapHoldsAsRoot) {
  expect_holds(plan_bubblewrap, true);
}
TEST(SandboxBoundary, BubblewrapHoldsAsNobody) {
  expect_holds(plan_bubblewrap, false);
}
TEST(SandboxBoundary, LandlockHoldsAsRoot) {
  expect_holds(plan_landlock, true);
}
TEST(SandboxBoundary, LandlockHoldsAsNobody) {
  expect_holds(plan_landlock, false);
}

}  // namespace
}  // namespace pupil
