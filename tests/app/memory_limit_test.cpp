// MLX's memory limit: from the config or the machine, told by `pupil doctor`, and held
// against the memory plan.

#include <gtest/gtest.h>

#include <string>

#include "app/machine.h"
#include "app/tiny_world.h"
#include "mlx/memory.h"

namespace pupil::testing {
namespace {

TEST(MemoryLimit, IsTheConfigsOrNineTenthsOfWhatIsFree) {
  size_t before = mx::get_memory_limit();
  EXPECT_EQ(limit_memory(2.5), 2'500'000'000u);
  EXPECT_EQ(mx::get_memory_limit(), 2'500'000'000u);
  double most = 0.9 * static_cast<double>(total_memory_bytes());
  double limit = static_cast<double>(limit_memory(0));
  EXPECT_EQ(limit, static_cast<double>(mx::get_memory_limit()));
  EXPECT_LE(limit, most);
  EXPECT_GT(limit, most / 20);
  mx::set_memory_limit(before);
}

TEST(MemoryLimit, TheDoctorTells) {
  TinyWorld world;
  auto told = world.run("doctor --hardware.memory_limit_gb=3.5 2>&1; true");
  EXPECT_TRUE(has(told.output, "limit 3.5 GB")) << told.output;
}

TEST(MemoryLimit, APlanAboveItIsAWarning) {
  TinyWorld world;
  auto fits = world.run("train -c config.yaml");
  EXPECT_EQ(fits.exit_code, 0) << fits.errors;
  EXPECT_FALSE(has(fits.errors, "[memory]")) << fits.errors;
  auto over = world.run(
      "train -c config.yaml --hardware.memory_limit_gb=0.001 --logging.run_dir=over");
  EXPECT_EQ(over.exit_code, 0) << over.errors;
  EXPECT_TRUE(has(over.errors, "[memory] a step may take 0.")) << over.errors;
  EXPECT_TRUE(has(over.errors, "more than the limit of 0.0 GB")) << over.errors;
  EXPECT_TRUE(has(over.errors, "lower train.max_tokens_per_microbatch")) << over.errors;
}

}  // namespace
}  // namespace pupil::testing
