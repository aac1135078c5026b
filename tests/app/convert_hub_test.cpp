// pupil convert from a hub on loopback.

#include <gtest/gtest.h>

#include "app/tiny_world.h"
#include "support/hub_server.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;

class ConvertHub : public ::testing::Test {
 protected:
  ConvertHub() {
    for (const auto& entry : fs::directory_iterator(world_.at("model"))) {
      hub_.files[entry.path().filename()] = read_text(entry.path());
    }
  }
  // `before` sets variables for the command.
  ProgramResult convert(const std::string& arguments, const std::string& before = "") {
    auto folder = world_.at("").string();
    auto errors = world_.at(".stderr").string();
    auto shell = run_shell(
        "cd '" + folder + "' && env -i PATH=/usr/bin:/bin HF_HOME=hf HF_ENDPOINT=" +
        hub_.url() + " " + before + " '" PUPIL_EXECUTABLE "' convert --json " +
        arguments + " 2>'" + errors + "'");
    return {shell.exit_code, shell.output, read_text(errors)};
  }

  TinyWorld world_;
  HubServer hub_;
};

TEST_F(ConvertHub, EqualsTheConversionOfTheFolder) {
  ASSERT_EQ(world_.run("convert --from model --to here").exit_code, 0);
  auto run = convert("--from owner/model --to there");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  for (const auto& entry : fs::directory_iterator(world_.at("here"))) {
    std::string name = entry.path().filename();
    EXPECT_EQ(world_.read("there/" + name), world_.read("here/" + name)) << name;
  }
  EXPECT_EQ(world_.read("hf/hub/models--owner--model/refs/main"), hub_.commit);
  run = convert("--from owner/model --to offline", "HF_HUB_OFFLINE=1");
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_EQ(hub_.seen("/api/").size(), 1u);
}

TEST_F(ConvertHub, ReadsTheRevision) {
  ASSERT_EQ(convert("--from owner/model@v1 --to one").exit_code, 0);
  ASSERT_EQ(convert("--from owner/model --revision v2 --to two").exit_code, 0);
  auto asked = hub_.seen("/api/");
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_TRUE(has(asked[0].target, "/revision/v1?"));
  EXPECT_TRUE(has(asked[1].target, "/revision/v2?"));
  EXPECT_TRUE(
      failed(convert("--from model --revision v1 --to three"), 1, "'model' is a path"));
}

TEST_F(ConvertHub, APathThatExistsWins) {
  fs::create_directory(world_.at("owner"));
  fs::rename(world_.at("model"), world_.at("owner/model"));
  EXPECT_EQ(convert("--from owner/model --to out").exit_code, 0);
  EXPECT_EQ(hub_.seen("/").size(), 0u);
}

TEST_F(ConvertHub, ATakenTargetIsSeenBeforeTheDownload) {
  EXPECT_TRUE(failed(convert("--from owner/model --to model"), 1, "model: exists"));
  EXPECT_EQ(hub_.seen("/").size(), 0u);
}

TEST_F(ConvertHub, TroubleIsOneLineAndLeavesNoModel) {
  EXPECT_TRUE(
      failed(convert("--from owner/other --to out"), 1, "not found on the hub"));
  EXPECT_TRUE(failed(
      convert("--from owner/model --to out", "HF_HUB_OFFLINE=1"),
      1,
      "is not in the cache"));
  EXPECT_FALSE(fs::exists(world_.at("out")));
}

}  // namespace
}  // namespace pupil::testing
