#include "base/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pupil {

TEST(StopSignals, TheFirstAsks) {
  StopSignals signals;
  EXPECT_FALSE(StopSignals::requested());
  raise(SIGTERM);
  EXPECT_TRUE(StopSignals::requested());
}

TEST(StopSignals, AReaderThatLeftEndsNothing) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  StopSignals signals;
  EXPECT_EQ(write(ends[1], "x", 1), -1);
  EXPECT_FALSE(StopSignals::requested());
  close(ends[1]);
}

TEST(StopSignals, TheSecondEndsTheProcess) {
  pid_t child = fork();
  if (child == 0) {
    StopSignals signals;
    raise(SIGINT);
    raise(SIGINT);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGINT);
}

}  // namespace pupil
