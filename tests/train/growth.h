// Whether a training run's memory grows from step to step.

#pragma once

#include <gtest/gtest.h>

#include "app/machine.h"
#include "base/allocator.h"
#include "mlx/memory.h"
#include "support/temp_dir.h"
#include "train/toy_run.h"

namespace pupil::testing {

/// Bytes that `values` rise by over all of their steps, by the line of least squares
/// through them.
inline double rise_of(const std::vector<double>& values) {
  auto n = static_cast<double>(values.size());
  double mean_x = (n - 1) / 2, mean_y = 0, xy = 0, xx = 0;
  for (double y : values) mean_y += y / n;
  for (size_t i = 0; i < values.size(); ++i) {
    double x = static_cast<double>(i) - mean_x;
    xy += x * (values[i] - mean_y);
    xx += x * x;
  }
  return xy / xx * (n - 1);
}

/// Everything that a step may hold on to: a reference that moves, an average, samples
/// that are used twice, float16 with its loss scale.
inline TrainConfig growth_config(int steps) {
  auto train = toy_config(steps);
  train.learning_rate = 1e-3;
  train.beta = 0.1;
  train.sync_ref_model = true;
  train.ref_model_sync_steps = 3;
  train.num_iterations = 2;
  train.ema_decay = 0.9;
  train.save_steps = 10;  // the first within what is left out
  return train;
}

/// Trains the tiny model and looks at the memory after each round of two steps, the
/// first quarter left out. An adapter leaked at every step would add 18 kB a step to
/// MLX's count, which is taken while freed arrays may still wait for their thread; the
/// process may take some pages more, for its records of the run.
inline void expect_no_growth(int steps) {
  keep_freed_memory();  // as the program does
  TempDir dir;
  ToyRun run(growth_config(steps), tiny_decoder_of(mx::float16));
  std::vector<double> resident, active;
  run.hooks.on_metrics = [&](const nlohmann::ordered_json& row) {
    int step = row.at("step");
    if (step <= steps / 4 || step % 2 != 0) return;
    resident.push_back(static_cast<double>(held_memory_bytes()));
    mx::synchronize();  // what is freed is freed
    active.push_back(static_cast<double>(mx::get_active_memory()));
  };
  run.run(dir.path() / "run");
  ASSERT_GT(resident.size(), 10u);
  std::printf(
      "%d steps: resident %+.0f bytes, active %+.0f of %.0f\n",
      steps,
      rise_of(resident),
      rise_of(active),
      active.back());
  EXPECT_LT(std::abs(rise_of(active)), 16384);
  EXPECT_LT(rise_of(resident), 1 << 20);
}

}  // namespace pupil::testing
