// Each system call of a save fails once: what was saved before is never lost.

#ifdef __linux__

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "support/temp_dir.h"
#include "train/toy_run.h"

namespace pupil {

namespace {

int calls_left = 0;  // until one fails; 0: none does
bool has_failed = false;

bool fails_now() {
  if (calls_left == 0 || --calls_left > 0) return false;
  has_failed = true;
  errno = EIO;
  return true;
}

template <class F>
F* real(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// The executable's own come before the C library's.
extern "C" {
ssize_t write(int descriptor, const void* bytes, size_t count) {
  static auto* next = real<ssize_t(int, const void*, size_t)>("write");
  return fails_now() ? -1 : next(descriptor, bytes, count);
}
int fsync(int descriptor) {
  static auto* next = real<int(int)>("fsync");
  return fails_now() ? -1 : next(descriptor);
}
int close(int descriptor) {
  static auto* next = real<int(int)>("close");
  int result = next(descriptor);  // closed either way
  return fails_now() ? -1 : result;
}
int rename(const char* from, const char* to) noexcept {
  static auto* next = real<int(const char*, const char*)>("rename");
  return fails_now() ? -1 : next(from, to);
}
}

namespace fs = std::filesystem;
using testing::TempDir;
using testing::toy_config;
using testing::ToyRun;

TEST(FailingCalls, OneOfASaveTakesNothingAway) {
  TempDir dir;
  ToyRun run(toy_config(2));
  run.run(dir.path());
  auto folder = dir.path() / "checkpoints";
  CheckpointStore store(folder, "{}\n");
  int failures = 0;
  for (int n = 1;; ++n, ++failures) {
    has_failed = false;
    calls_left = n;
    bool threw = false;
    try {
      store.save(*run.learner, 3, {}, {});
    } catch (const std::runtime_error&) {
      threw = true;
    }
    calls_left = 0;
    if (!has_failed) break;  // there are fewer calls
    auto state = store.load(*run.learner, [](const auto&) {});
    ASSERT_TRUE(state) << n;
    bool is_new = state->step == 3;  // it failed after the rename, or where it may
    EXPECT_TRUE(state->step == 2 || is_new) << n;
    EXPECT_TRUE(threw || is_new) << n;
    for (const auto& entry : fs::directory_iterator(folder))
      EXPECT_EQ(entry.path().string().find(".tmp."), std::string::npos) << entry.path();
    fs::remove_all(folder / "step-000003");
  }
  EXPECT_GT(failures, 25);
  std::printf("%d calls, each failed once\n", failures);
}

}  // namespace pupil

#endif
