// A conversion holds a tensor and what becomes of it, and not the model.

#include <gtest/gtest.h>
#include <mlx/memory.h>

#include "models/convert.h"
#include "models/generated_model.h"
#include "support/temp_dir.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;

constexpr size_t kWidth = 256;
constexpr size_t kLargest =
    4 * kWidth * kWidth * sizeof(float);  // a tensor, in float32

class ConvertMemory : public ::testing::Test {
 protected:
  const DecoderConfig config_ = generated_config(12, kWidth);

  std::string at(const std::string& name) const { return folder_.path() / name; }

  // What a conversion takes at the most, by MLX's count.
  size_t peak_of(ConvertOptions options) {
    options.to = at("to");
    options.existing = Existing::replace_model;
    size_t before = mx::get_active_memory();
    mx::reset_peak_memory();
    convert_model(options, [](size_t, size_t, int64_t) {});
    return mx::get_peak_memory() - before;
  }

 private:
  TempDir folder_;
};

TEST_F(ConvertMemory, OfADirectoryIsThatOfATensor) {
  generate_huggingface(at("from"), config_);
  ASSERT_GT(fs::file_size(at("from/model.safetensors")), 8 * kLargest);
  for (bool packs : {false, true}) {
    ConvertOptions options;
    options.from = at("from");
    if (packs) options.quantize.emplace();
    EXPECT_LT(peak_of(options), 3 * kLargest) << packs;
    options.dtype = mx::float32;
    EXPECT_LT(peak_of(options), 3 * kLargest) << packs;
  }
}

TEST_F(ConvertMemory, OfAGgufFileIsThatOfATensor) {
  generate_gguf(at("from.gguf"), config_);
  ASSERT_GT(4 * num_parameters(config_), static_cast<int64_t>(16 * kLargest));
  for (bool packs : {false, true}) {
    ConvertOptions options;
    options.from = at("from.gguf");
    if (packs) options.quantize.emplace();
    EXPECT_LT(peak_of(options), 3 * kLargest) << packs;
  }
}

// Shards are no reason to hold anything: they are written as tensors come.
TEST_F(ConvertMemory, DoesNotDependOnTheSizeOfShards) {
  generate_huggingface(at("from"), config_, 4 << 20);
  ASSERT_GT(std::distance(fs::directory_iterator(at("from")), {}), 6);
  for (int64_t bytes : {kShardBytes, int64_t{1} << 20}) {
    ConvertOptions options;
    options.from = at("from");
    options.shard_bytes = bytes;
    EXPECT_LT(peak_of(options), 3 * kLargest) << bytes;
  }
}

}  // namespace
}  // namespace pupil::testing
