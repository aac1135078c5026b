#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

namespace pupil {

namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("pupil_file_test." + std::to_string(getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  size_t num_entries() const {
    return std::distance(fs::directory_iterator(dir_), fs::directory_iterator());
  }
  fs::path dir_;
};

// Runs `body` in a child process that may not write files past `bytes`; its exit code.
template <class F>
int exit_code_under_limit(rlim_t bytes, F body) {
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit{bytes, bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
    _exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

}  // namespace

TEST_F(FileTest, WritesAndReadsBack) {
  std::string bytes("a\0b\n", 4);
  write_file_atomically(dir_ / "f", bytes);
  EXPECT_EQ(read_file(dir_ / "f"), bytes);
  EXPECT_EQ(num_entries(), 1u);
}

TEST_F(FileTest, ReadingIsBounded) {
  write_file_atomically(dir_ / "f", "12345");
  EXPECT_EQ(read_file(dir_ / "f", 5), "12345");
  EXPECT_THROW(read_file(dir_ / "f", 4), std::invalid_argument);
  EXPECT_THROW(read_file(dir_ / "missing"), std::invalid_argument);
  EXPECT_THROW(read_file(dir_), std::invalid_argument);
}

TEST_F(FileTest, OldBytesStayOrGoAsAskedFor) {
  write_file_atomically(dir_ / "f", "old");
  AppendFile(dir_ / "f").append(" new");
  EXPECT_EQ(read_file(dir_ / "f"), "old new");
  AppendFile(dir_ / "f", OldBytes::dropped).append("new");
  EXPECT_EQ(read_file(dir_ / "f"), "new");
}

TEST_F(FileTest, AFullDiskLeavesTheOldFileAndNothingElse) {
  write_file_atomically(dir_ / "f", "old");
  auto path = dir_ / "f";
  int code = exit_code_under_limit(1000, [&] {
    try {
      write_file_atomically(path, std::string(5000, 'x'));
    } catch (const std::runtime_error&) {
      return 7;
    }
    return 0;
  });
  EXPECT_EQ(code, 7);
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(num_entries(), 1u);
}

TEST_F(FileTest, AFullDiskCutsNoLineInHalf) {
  auto path = dir_ / "lines";
  int code = exit_code_under_limit(10, [&] {
    AppendFile file(path);
    file.append("12345\n");
    try {
      file.append("67890\n");
    } catch (const std::runtime_error&) {
      return 7;
    }
    return 0;
  });
  EXPECT_EQ(code, 7);
  EXPECT_EQ(read_file(path), "12345\n");
}

TEST_F(FileTest, ALockKeepsOthersOutAndEndsWithItsProcess) {
  auto path = dir_ / "lock";
  int ready[2], release[2];
  ASSERT_EQ(pipe(ready) | pipe(release), 0);
  pid_t child = fork();
  if (child == 0) {
    FileLock lock(path);
    char byte = 1;
    if (write(ready[1], &byte, 1) != 1 || read(release[0], &byte, 1) != 1) _exit(1);
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  try {
    FileLock second(path);
    FAIL() << "the lock was given twice";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(child)), std::string::npos);
  }
  ASSERT_EQ(write(release[1], &byte, 1), 1);
  waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(FileLock{path});
}

// A file that opens and cannot be read, as that of a process which has just ended.
TEST_F(FileTest, WhatCannotBeReadIsEmptyWhereThatIsAllowed) {
  write_file_atomically(dir_ / "there", "text");
  EXPECT_EQ(read_available(dir_ / "there"), "text");
  EXPECT_EQ(read_available(dir_ / "gone"), "");
  EXPECT_EQ(read_available(dir_), "");  // a folder: opens, and reads fail
}

}  // namespace pupil
