#include "reward/box_cgroup.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "reward/sandbox.h"

namespace pupil {
namespace {

TEST(BoxCgroup, WithoutMountsThereAreNone) {
  const auto found = find_cgroups("proc /proc proc rw 0 0\n", "0::/\n");
  EXPECT_EQ(found.version, 0);
  EXPECT_EQ(found.description(), "");
  const BoxCgroup group(found, "x", {1 << 20, 4});
  EXPECT_TRUE(group.join().empty());
  EXPECT_FALSE(group.ran_out_of_memory());
}

// A folder in which a group has no file to set its limit is none.
TEST(BoxCgroup, AFolderOfPlainFilesIsRefused) {
  const auto folder = std::filesystem::temp_directory_path() / "pupil-no-cgroup";
  std::filesystem::create_directories(folder / "own");
  const auto mounts = "cgroup " + folder.string() + " cgroup rw,memory 0 0\ncgroup2 " +
                      folder.string() + " cgroup2 rw 0 0\n";
  EXPECT_EQ(find_cgroups(mounts, "4:memory:/own\n0::/own\n").version, 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder / "own"));  // the trial left nothing
  std::filesystem::remove_all(folder);
}

TEST(BoxCgroup, GroupsAreMadeLimitedAndRemoved) {
  const auto found = find_cgroups();
  if (found.memory.empty()) GTEST_SKIP() << "no control group of memory can be made";
  const std::string folder = found.memory + "/pupil-test-group";
  {
    const BoxCgroup group(found, "pupil-test-group", {32 << 20, 7});
    ASSERT_FALSE(group.join().empty());
    const char* limit = found.version == 2 ? "/memory.max" : "/memory.limit_in_bytes";
    std::ifstream file(folder + limit);
    int64_t bytes = 0;
    file >> bytes;
    EXPECT_EQ(bytes, 32 << 20);
  }
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST(BoxCgroup, TheKernelEndsABoxThatTakesTooMuch) {
  if (find_cgroups().memory.empty()) GTEST_SKIP() << "no control group of memory";
  SandboxConfig config;
  config.memory_mb = 128;
  const Sandbox sandbox(config);
  const auto result = sandbox.run(
      {.source = "import os, time\nfor i in range(6):\n  if os.fork() == 0:\n"
                 "    x = bytearray(b'x') * (40 << 20)\n    time.sleep(5)\n"
                 "    os._exit(0)\nfor i in range(6): os.wait()\nprint('HOLE')",
       .input = ""});
  EXPECT_NE(result.outcome, ExecutionResult::Outcome::infra_error);
  EXPECT_LT(result.wall_s, 5);
}

}  // namespace
}  // namespace pupil
