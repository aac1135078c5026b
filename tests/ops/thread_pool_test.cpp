#include "ops/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

#include "base/cores.h"

namespace pupil::cpu {
namespace {

TEST(ThreadPool, RunsEachTileOnce) {
  for (int threads : {1, 2, 5}) {
    set_num_threads(threads);
    EXPECT_EQ(num_threads(), threads);
    for (int round = 0; round < 500; ++round) {
      int count = round % 37;
      std::vector<std::atomic<int>> seen(count);
      parallel_for(count, [&](int tile) { seen[tile].fetch_add(1); });
      for (auto& times : seen) ASSERT_EQ(times.load(), 1);
    }
  }
  set_num_threads(0);
}

TEST(ThreadPool, UsesSeveralThreads) {
  set_num_threads(2);
  std::atomic<int> inside{0};
  auto meet = [&](int) {
    inside.fetch_add(1);
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (inside.load() < 2 && std::chrono::steady_clock::now() < end)
      std::this_thread::yield();
  };
  parallel_for(2, meet);  // returns early only if both tiles run at the same time
  EXPECT_EQ(inside.load(), 2);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));  // now workers sleep
  inside = 0;
  auto start = std::chrono::steady_clock::now();
  parallel_for(2, meet);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  set_num_threads(0);
}

TEST(ThreadPool, AllowsJobsInsideJobsAndFromManyThreads) {
  set_num_threads(3);
  std::atomic<int> total{0};
  auto job = [&] {
    for (int i = 0; i < 50; ++i)
      parallel_for(8, [&](int) { parallel_for(4, [&](int) { total.fetch_add(1); }); });
  };
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) callers.emplace_back(job);
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(total.load(), 4 * 50 * 8 * 4);
  set_num_threads(0);
}

TEST(ThreadPool, HasAThreadForEachCoreThatTheProcessMayUse) {
#ifdef __linux__
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(num_cores(), CPU_COUNT(&before));
  CPU_ZERO(&one);
  for (int core = 0; CPU_COUNT(&one) == 0; ++core)
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  set_num_threads(0);
  EXPECT_EQ(num_threads(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
#endif
  set_num_threads(0);
  EXPECT_EQ(num_threads(), num_cores());
}

double process_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

TEST(ThreadPool, WorkersWithoutAJobUseNoProcessorTime) {
  set_num_threads(4);
  std::atomic<int> total{0};
  parallel_for(64, [&](int) { total.fetch_add(1); });
  double before = process_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(process_seconds() - before, 0.02);
  EXPECT_EQ(total.load(), 64);
  set_num_threads(0);
}

TEST(ThreadPool, RefusesANegativeNumber) {
  EXPECT_THROW(set_num_threads(-1), std::invalid_argument);
}

}  // namespace
}  // namespace pupil::cpu
