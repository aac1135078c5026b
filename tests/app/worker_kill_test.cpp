#include <gtest/gtest.h>

#include "app/worker_kills.h"

namespace pupil::testing {
namespace {

TEST(WorkerKill, FiveHundredRequestsAcrossKillsLoseNothing) {
  expect_nothing_lost(500);
}

// Prompts, rows and lengths differ from request to request, as those of a run do.
TEST(WorkerGrowth, OneWorkerLivesThroughTwoThousandRequests) {
  constexpr int kRequests = 2000;
  TempDir folder;
  write_tiny_student(folder.path() / "model");
  WorkerClient worker({"generate", "--model", (folder.path() / "model").string()});
  auto process = std::to_string(worker.child().pid());
  int64_t early = 0;
  for (int i = 0; i < kRequests; ++i) {
    if (i == kRequests / 4) early = held_bytes(process);
    auto reply = worker.ask(
        {{"op", "generate"},
         {"id", i},
         {"input_ids", std::vector<int>(3 + i % 50, 2 + i % 40)},
         {"n", 1 + i % 3},
         {"max_tokens", 1 + i % 20},
         {"seed", i}});
    ASSERT_EQ(reply["ok"], true) << reply;
    ASSERT_EQ(reply["id"], i);
  }
  EXPECT_LT(held_bytes(process) - early, 1 << 20);
  EXPECT_EQ(worker.finish().exit_code, 0);
}

}  // namespace
}  // namespace pupil::testing
