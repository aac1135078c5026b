// What a new user runs first, through the executable.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "app/run_program.h"
#include "config/load_config.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

class FirstSteps : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::path(testing::TempDir()) /
           testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  std::string at(const std::string& name) const { return (dir_ / name).string(); }

  fs::path dir_;
};

TEST_F(FirstSteps, VersionNamesItselfMlxAndTheCpu) {
  const auto run = run_pupil("--version");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_TRUE(run.output.starts_with("pupil " PUPIL_VERSION "\nmlx 0.")) << run.output;
  EXPECT_NE(run.output.find("\ncpu "), std::string::npos) << run.output;
}

TEST_F(FirstSteps, InitWritesTheDefaultsOnce) {
  const std::string path = at("config.yaml");
  EXPECT_EQ(run_pupil("init " + path).exit_code, 0);
  EXPECT_EQ(dump_yaml(load_config(path, {})), dump_yaml(Config()));
  std::ofstream(path) << "seed: 5\n";
  const auto again = run_pupil("init " + path);
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_NE(again.output.find("exists and is kept"), std::string::npos) << again.output;
  EXPECT_EQ(load_config(path, {}).seed, 5u);
}

TEST_F(FirstSteps, AWrongCommandLineIsExitCodeTwo) {
  EXPECT_EQ(run_pupil("").exit_code, 2);
  EXPECT_EQ(run_pupil("learn").exit_code, 2);
  EXPECT_EQ(run_pupil("doctor --no-such-flag").exit_code, 2);
}

TEST_F(FirstSteps, DoctorNamesEveryProblemAndFails) {
  std::ofstream(at("c.yaml")) << "hardware: {mlx_model_path: /no/such/model}\n"
                                 "data: {train: /no/such/tasks.jsonl}\n"
                                 "logging: {run_dir: "
                              << at("runs/x") << "}\n";
  const auto run = run_pupil("doctor --json -c " + at("c.yaml") + " 2>/dev/null; true");
  const auto line = run.output.substr(0, run.output.find('\n'));
  const auto report = nlohmann::json::parse(line);
  EXPECT_FALSE(report.at("ok"));
  std::map<std::string, bool> ok;
  for (const auto& check : report.at("checks")) ok[check.at("name")] = check.at("ok");
  EXPECT_TRUE(ok.at("mlx"));
  EXPECT_TRUE(ok.at("disk"));
  EXPECT_FALSE(ok.at("model"));
  EXPECT_FALSE(ok.at("tasks"));
  EXPECT_EQ(run_pupil("doctor -c " + at("c.yaml")).exit_code, 1);
}

TEST_F(FirstSteps, DoctorLooksAtProgramsAndPatterns) {
  auto rewards = [&](const std::string& row) {
    return run_pupil(
        "doctor '--reward.functions=[{name: format, weight: 1}, {" + row + "}]' 2>&1");
  };
  auto good = rewards("name: mine, command: [sh, -c, cat]");
  EXPECT_NE(good.output.find("format, mine"), std::string::npos) << good.output;
  auto missing = rewards("name: mine, command: [no-such-program]");
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.output.find("no program 'no-such-program'"), std::string::npos)
      << missing.output;
  auto pattern = rewards("name: mine, pattern: \"a(\"");
  EXPECT_EQ(pattern.exit_code, 1);
  EXPECT_NE(pattern.output.find("missing )"), std::string::npos) << pattern.output;
}

TEST_F(FirstSteps, DoctorSaysThatAKeyIsThereAndNeverShowsIt) {
  const auto run =
      run_shell("OPENAI_API_KEY=sk-very-secret '" PUPIL_EXECUTABLE "' doctor 2>&1");
  EXPECT_NE(run.output.find("OPENAI_API_KEY is set"), std::string::npos) << run.output;
  EXPECT_EQ(run.output.find("secret"), std::string::npos) << run.output;
}

TEST_F(FirstSteps, DoctorPointsAtAConfigMistake) {
  std::ofstream(at("c.yaml")) << "sed: 1\n";
  const auto run = run_pupil("doctor -c " + at("c.yaml"));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_NE(
      run.output.find("c.yaml:1: no such key: 'sed'; did you mean seed?"),
      std::string::npos)
      << run.output;
}

TEST_F(FirstSteps, AnInstalledProgramNeedsNothingOfTheCheckout) {
  const fs::path build = fs::path(PUPIL_EXECUTABLE).parent_path();
  const auto install = run_shell(
      "cmake --install '" + build.string() + "' --prefix '" + at("prefix") + "' 2>&1");
  ASSERT_EQ(install.exit_code, 0) << install.output;
  const auto run =
      run_shell("cd / && env -i '" + at("prefix/bin/pupil") + "' --version");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_TRUE(run.output.starts_with("pupil ")) << run.output;
#ifdef __linux__
  const auto libraries = run_shell("ldd '" + at("prefix/lib/pupil/bin/pupil") + "'");
  EXPECT_EQ(libraries.output.find(PUPIL_SOURCE_DIR), std::string::npos)
      << libraries.output;
  EXPECT_EQ(libraries.output.find("not found"), std::string::npos) << libraries.output;
#endif
}

}  // namespace
}  // namespace pupil
