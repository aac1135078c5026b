#include <gtest/gtest.h>

#include "app/worker_kills.h"

namespace pupil::testing {
namespace {

TEST(WorkerKillLong, TenThousandRequestsAcrossKillsLoseNothing) {
  expect_nothing_lost(10000);
}

}  // namespace
}  // namespace pupil::testing
