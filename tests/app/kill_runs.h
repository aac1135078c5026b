// Training, killed at random moments and resumed, again and again.

#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "app/run_rows.h"
#include "app/tiny_world.h"

namespace pupil::testing {

/// The number after the last `mark` in `text`; -1: it is not there.
inline int number_after(const std::string& text, const std::string& mark) {
  auto at = text.rfind(mark);
  return at == text.npos ? -1 : std::atoi(text.c_str() + at + mark.size());
}

/// Kills a run `kills` times, at moments from its first millisecond to some saves after
/// its start, and resumes it each time. Whatever was saved is found, no more than one
/// interval of saving is lost, and in the end the run is the one that nobody killed.
inline void expect_to_survive(int kills) {
  constexpr int kInterval = 2;
  TinyWorld world;
  std::vector<std::string> arguments = {
      "train",
      "-c",
      "config.yaml",
      "--train.max_steps=1000000",
      "--train.save_steps=" + std::to_string(kInterval),
      "--logging.tensorboard=true"};
  std::mt19937 random(7);
  int seen = 0, resumed = 0, most_lost = 0;
  auto start = std::chrono::steady_clock::now();
  std::chrono::duration<double, std::milli> typical{0};
  for (int i = 0; i < kills; ++i) {
    RunningPupil run(world.at(""), arguments);
    if (i == 0) {
      ASSERT_TRUE(run.wait_for("step 2/")) << run.finish().output;
      typical = std::chrono::steady_clock::now() - start;
    } else {
      std::uniform_real_distribution<> moment(0, typical.count() + 300);
      std::this_thread::sleep_for(
          std::chrono::duration<double, std::milli>(moment(random)));
    }
    run.signal(SIGKILL);
    const auto& output = run.finish().output;
    ASSERT_EQ(run.finish().signal, SIGKILL) << output;
    EXPECT_FALSE(has(output, "cannot be used")) << output;
    if (int at = number_after(output, "resumed at step "); at >= 0) {
      EXPECT_GE(at, resumed) << output;
      most_lost = std::max(most_lost, seen - at);
      seen = resumed = at;
    }
    seen = std::max(seen, number_after(output, "\nstep "));
    bool begun = std::filesystem::exists(world.at("run/config.yaml"));
    if (begun && arguments.back() != "--resume") arguments.push_back("--resume");
  }
  EXPECT_LE(most_lost, kInterval);
  EXPECT_GT(resumed, 0);
  std::string steps = "--train.max_steps=" + std::to_string(seen + 3);
  auto rest = world.run("train --resume run " + steps);
  EXPECT_EQ(rest.exit_code, 0) << rest.errors;
  auto whole = world.run(
      "train -c config.yaml --logging.run_dir=whole --train.save_steps=1000000 " +
      steps);
  ASSERT_EQ(whole.exit_code, 0) << whole.errors;
  expect_same_run(world, "whole", "run");
  std::printf(
      "%d kills, %d steps, at most %d lost at once\n", kills, seen + 3, most_lost);
}

}  // namespace pupil::testing
