// What the process takes to convert a model that is several times larger.

#include <gtest/gtest.h>

#include "app/machine.h"
#include "base/allocator.h"
#include "models/convert.h"
#include "models/generated_model.h"
#include "support/temp_dir.h"

namespace pupil::testing {
namespace {

constexpr uint64_t kMost = 96 << 20;  // the program itself included

class ConvertMemory : public ::testing::TestWithParam<bool> {
 protected:
  // 403 million parameters, of which a tensor has 4 at the most.
  const DecoderConfig config_ = generated_config(24, 1024);

  std::string at(const std::string& name) const { return folder_.path() / name; }

  // The process's peak while it converts.
  uint64_t peak_of(const std::string& from) {
    ConvertOptions options;
    options.from = from;
    options.to = at("to");
    if (GetParam()) options.quantize.emplace();
    return_freed_memory();
    reset_peak_memory();
    auto summary = convert_model(options, [](size_t, size_t, int64_t) {});
    uint64_t peak = peak_memory_bytes();
    std::printf(
        "%lld parameters, %lld MB written: peak %llu MB\n",
        static_cast<long long>(summary.total().parameters),
        static_cast<long long>(summary.total().bytes >> 20),
        static_cast<unsigned long long>(peak >> 20));
    return peak;
  }
  void SetUp() override {
#ifdef __APPLE__
    GTEST_SKIP() << "the peak of a process cannot be reset here";
#endif
    ASSERT_GT(2 * num_parameters(config_), static_cast<int64_t>(6 * kMost));
  }

 private:
  TempDir folder_;
};

TEST_P(ConvertMemory, OfADirectoryIsAFractionOfTheModel) {
  generate_huggingface(at("from"), config_);
  EXPECT_LT(peak_of(at("from")), kMost);
}

TEST_P(ConvertMemory, OfAGgufFileIsAFractionOfTheModel) {
  generate_gguf(at("from.gguf"), config_);
  EXPECT_LT(peak_of(at("from.gguf")), kMost);
}

INSTANTIATE_TEST_SUITE_P(
    Packing, ConvertMemory, ::testing::Bool(), [](const auto& info) {
      return info.param ? "packed" : "as_it_is";
    });

}  // namespace
}  // namespace pupil::testing
