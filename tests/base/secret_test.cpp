#include "base/secret.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

#ifdef __linux__
#include <sys/prctl.h>
#endif

namespace pupil {
namespace {

std::string output_of(const char* command) {
  std::string text;
  std::FILE* pipe = popen(command, "r");
  char buffer[4096];
  while (size_t count = std::fread(buffer, 1, sizeof buffer, pipe)) {
    text.append(buffer, count);
  }
  pclose(pipe);
  return text;
}

TEST(Secret, IsKnownHereAndNowhereElse) {
  setenv("PUPIL_TEST_KEY", "canary-1", 1);
  EXPECT_EQ(variable_or_secret("PUPIL_TEST_KEY"), "canary-1");
  EXPECT_NE(output_of("env").find("canary-1"), std::string::npos);
  const char* bytes = std::getenv("PUPIL_TEST_KEY");
  EXPECT_TRUE(hide_variable("PUPIL_TEST_KEY"));
  EXPECT_EQ(std::string(bytes), "xxxxxxxx");
  EXPECT_EQ(std::getenv("PUPIL_TEST_KEY"), nullptr);
  EXPECT_EQ(output_of("env").find("canary-1"), std::string::npos);
  EXPECT_EQ(variable_or_secret("PUPIL_TEST_KEY"), "canary-1");
  EXPECT_FALSE(hide_variable("PUPIL_TEST_KEY"));
  EXPECT_EQ(variable_or_secret("PUPIL_NO_SUCH_KEY"), "");
}

TEST(Secret, LeavesNoCore) {
  pid_t child = fork();
  if (child == 0) {
    setenv("PUPIL_TEST_KEY", "canary-2", 1);
    rlimit limit{};
    getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_CORE, &limit);
    hide_variable("PUPIL_TEST_KEY");
    getrlimit(RLIMIT_CORE, &limit);
    if (limit.rlim_cur > 1) _exit(1);
#ifdef __linux__
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) _exit(2);
#endif
    std::abort();
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
  EXPECT_FALSE(WCOREDUMP(status));
}

}  // namespace
}  // namespace pupil
