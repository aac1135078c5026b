// A target appears whole or stays what it was.

#include "formats/staged_directory.h"

#include <gtest/gtest.h>

#include "support/files.h"
#include "support/temp_dir.h"

namespace pupil {
namespace {

using testing::has;
using testing::refusal;
namespace fs = std::filesystem;

class Staged : public ::testing::Test {
 protected:
  fs::path root() const { return folder_.path(); }
  fs::path target() const { return root() / "model"; }
  // What stands beside and at the target.
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(root())) {
      found.push_back(entry.path().filename());
    }
    return found;
  }
  void put_model() {
    testing::write_text(target() / "config.json", "old");
    testing::write_text(target() / "model.safetensors", "old");
  }
  std::string error(Existing existing = Existing::refuse) {
    return refusal([&] { StagedDirectory staged(target(), existing); });
  }

 private:
  testing::TempDir folder_;
};

TEST_F(Staged, NothingIsThereBeforeCommitAndAllAfterIt) {
  StagedDirectory staged(target().string() + "/", Existing::refuse);
  testing::write_text(fs::path(staged.path()) / "a", "new");
  EXPECT_FALSE(fs::exists(target()));
  staged.commit();
  EXPECT_EQ(testing::read_text(target() / "a"), "new");
  EXPECT_EQ(names(), std::vector<std::string>{"model"});
}

TEST_F(Staged, WithoutCommitNothingIsLeft) {
  {
    StagedDirectory staged(target(), Existing::refuse);
    testing::write_text(fs::path(staged.path()) / "a", "new");
  }
  EXPECT_EQ(names(), std::vector<std::string>{});
}

TEST_F(Staged, AnEmptyDirectoryIsTakenOver) {
  fs::create_directories(target());
  StagedDirectory staged(target(), Existing::refuse);
  testing::write_text(fs::path(staged.path()) / "a", "new");
  staged.commit();
  EXPECT_EQ(testing::read_text(target() / "a"), "new");
  EXPECT_EQ(names(), std::vector<std::string>{"model"});
}

TEST_F(Staged, AModelIsReplacedOnRequestOnly) {
  put_model();
  EXPECT_TRUE(has(error(), "--force"));
  EXPECT_EQ(testing::read_text(target() / "config.json"), "old");
  StagedDirectory staged(target(), Existing::replace_model);
  testing::write_text(fs::path(staged.path()) / "config.json", "new");
  EXPECT_EQ(testing::read_text(target() / "config.json"), "old");
  staged.commit();
  EXPECT_EQ(testing::read_text(target() / "config.json"), "new");
  EXPECT_FALSE(fs::exists(target() / "model.safetensors"));
  EXPECT_EQ(names(), std::vector<std::string>{"model"});
}

TEST_F(Staged, WhatIsNeverReplacedIsNotSaidToBeReplaceable) {
  put_model();
  EXPECT_TRUE(has(error(Existing::never), "not empty: name a new directory"));
  EXPECT_FALSE(has(error(Existing::never), "--force"));
  EXPECT_EQ(testing::read_text(target() / "config.json"), "old");
}

TEST_F(Staged, WhatIsNoModelIsNeverReplaced) {
  testing::write_text(target() / "thesis.txt", "mine");
  EXPECT_TRUE(has(error(Existing::replace_model), "something else than a model"));
  fs::remove_all(target());
  testing::write_text(target(), "a file");
  EXPECT_TRUE(has(error(Existing::replace_model), "no directory"));
  EXPECT_EQ(testing::read_text(target()), "a file");
  fs::remove(target());
  fs::create_symlink("nowhere", target());
  EXPECT_TRUE(has(error(Existing::replace_model), "no directory"));
  EXPECT_EQ(names(), std::vector<std::string>{"model"});
}

TEST_F(Staged, AFailingCommitLeavesTheOldModel) {
  put_model();
  {
    StagedDirectory staged(target(), Existing::replace_model);
    fs::remove_all(staged.path());  // as if another program had cleaned up
    EXPECT_THROW(staged.commit(), std::runtime_error);
  }
  EXPECT_EQ(testing::read_text(target() / "config.json"), "old");
  EXPECT_EQ(names(), std::vector<std::string>{"model"});
}

TEST_F(Staged, AParentThatCannotHoldItIsAnError) {
  testing::write_text(root() / "file", "");
  EXPECT_THROW(
      StagedDirectory((root() / "file/model").string(), Existing::refuse),
      std::runtime_error);
}

}  // namespace
}  // namespace pupil
