#include "base/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"

namespace pupil {
namespace {

TEST(Log, GoesToStderrAndLeavesStdoutAlone) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  start_log();
  log_info("step {1}");
  log_warning("slow");
  log_error("bad");
  EXPECT_EQ(
      testing::internal::GetCapturedStderr(),
      "step {1}\npupil: warning: slow\npupil: error: bad\n");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST(Log, FileKeepsTheMessagesOfItsLifetime) {
  const std::string path = testing::TempDir() + "log_test.txt";
  std::filesystem::remove(path);
  testing::internal::CaptureStderr();
  start_log();
  {
    LogFile file(path);
    log_warning("inside");
  }
  log_warning("outside");
  testing::internal::GetCapturedStderr();
  const std::string text = read_file(path);
  EXPECT_TRUE(text.ends_with(" warning inside\n")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  std::filesystem::remove(path);
}

TEST(Log, AFileThatCannotBeWrittenIsAnError) {
  EXPECT_THROW(LogFile("/dev/null/log.txt"), std::runtime_error);
}

}  // namespace
}  // namespace pupil
