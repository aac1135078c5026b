// What is left of boxes: after very many, and after the death of their owner.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "reward/box_cgroup.h"
#include "reward/reward_support.h"
#include "reward/tests_reward.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

/// 10 000; PUPIL_BOXES names another number, at least 100.
size_t num_boxes() {
  const char* number = std::getenv("PUPIL_BOXES");
  return number ? static_cast<size_t>(std::atoi(number)) : 10000;
}

size_t count_in(const char* folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

size_t lines_of(const char* path) {
  std::ifstream file(path);
  return static_cast<size_t>(std::count(
      std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>(), '\n'));
}

/// Control groups that are named after process `pid`.
size_t groups_of(pid_t pid) {
  const std::string prefix = "pupil-" + std::to_string(pid) + "-";
  const auto folders = find_cgroups();
  size_t count = 0;
  for (const auto& folder : {folders.memory, folders.processes}) {
    if (folder.empty()) continue;
    for (const auto& entry : fs::directory_iterator(folder))
      count += entry.path().filename().string().starts_with(prefix);
  }
  return count;
}

/// Processes of the users that the boxes of root's process `pid` have.
size_t box_processes_of(pid_t pid) {
  const unsigned first = 61184 + static_cast<unsigned>(pid % 66) * 64;
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    struct stat info {};
    if (::stat(entry.path().c_str(), &info) != 0) continue;
    count += info.st_uid >= first && info.st_uid < first + 64;
  }
  return count;
}

std::vector<Completion> trivial_answers(size_t count) {
  std::vector<Completion> answers;
  for (size_t i = 0; i < count; ++i) {
    answers.push_back(make_completion(
        fenced("# " + std::to_string(i) + "\ndef add(a, b):\n    return a + b")));
  }
  return answers;
}

/// How many of `count` answers got a score, which must be 1.
size_t num_scored(const RewardFn& reward, size_t count) {
  const Task task =
      make_task("add", {"assert add(1, 2) == 3", "assert add(2, 5) == 7"});
  const auto answers = trivial_answers(count);
  std::vector<Sample> samples;
  for (const auto& answer : answers) samples.push_back({&task, &answer});
  const auto scores = reward(samples);
  return static_cast<size_t>(std::count_if(
      scores.begin(), scores.end(), [](const Score& s) { return s.value == 1.0; }));
}

TEST(SandboxLong, TenThousandBoxesLeaveNothingAndAllAreScored) {
  const size_t mounts = lines_of("/proc/self/mounts"),
               shm = lines_of("/proc/sysvipc/shm");
  {
    const auto reward = tests_reward(shared_sandbox(), 2);
    EXPECT_EQ(num_scored(reward, 100), 100u);
    const size_t files = count_in("/proc/self/fd");
    EXPECT_EQ(num_scored(reward, num_boxes() - 100), num_boxes() - 100);
    EXPECT_LE(count_in("/proc/self/fd"), files + 8);  // the pool may hold one box more
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was left";
  EXPECT_EQ(box_processes_of(::getpid()), 0u);
  EXPECT_EQ(groups_of(::getpid()), 0u);
  EXPECT_EQ(lines_of("/proc/self/mounts"), mounts);
  EXPECT_EQ(lines_of("/proc/sysvipc/shm"), shm);
}

TEST(SandboxLong, BoxesDieWithTheirOwner) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "this test needs root: boxes with their own users";
  const pid_t owner = ::fork();
  if (owner == 0) {
    const Sandbox sandbox{SandboxConfig{}};
    sandbox.run({"import os, time\nfor _ in range(3): os.fork()\ntime.sleep(100)", ""});
    ::_exit(0);
  }
  using namespace std::chrono_literals;
  for (int i = 0; i < 600 && box_processes_of(owner) < 8; ++i)
    std::this_thread::sleep_for(50ms);
  ASSERT_GE(box_processes_of(owner), 8u);
  ::kill(owner, SIGKILL);
  ::waitpid(owner, nullptr, 0);
  const auto begin = std::chrono::steady_clock::now();
  while (box_processes_of(owner) > 0 && std::chrono::steady_clock::now() - begin < 10s)
    std::this_thread::sleep_for(5ms);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(box_processes_of(owner), 0u);
  EXPECT_LT(took.count(), 1.0);
}

}  // namespace
}  // namespace pupil
