#include <gtest/gtest.h>

#include "app/worker_kills.h"

namespace pupil::testing {
namespace {

TEST(WorkerKill, FiveHundredRequestsAcrossKillsLoseNothing) {
  expect_nothing_lost(500);
}

}  // namespace
}  // namespace pupil::testing
