#include "reward/box_watch.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace pupil {
namespace {

// Processes that end between being found and being read are nothing special.
TEST(BoxWatch, CountsTasksWhileProcessesComeAndGo) {
  constexpr int kChildren = 600;
  std::atomic<bool> done = false;
  std::thread churn([&] {
    for (int i = 0; i < kChildren; ++i) {
      const pid_t child = ::fork();
      if (child == 0) ::_exit(0);
      if (child > 0) ::waitpid(child, nullptr, 0);
    }
    done = true;
  });
  int counts = 0;
  for (; !done; ++counts) EXPECT_GT(num_user_tasks(), 0);
  churn.join();
  EXPECT_GT(counts, 0);
}

}  // namespace
}  // namespace pupil
