// Keys and values in 8 bits, as users set them.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "app/run_rows.h"
#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

// The worlds' rewards do not matter: what is sampled is what is trained on, to the bit.
TEST(KvBits, ARunsSamplerAndTrainerAgreeToTheBit) {
  for (const char* bits : {"0", "8"}) {
    TinyWorld world;
    auto run = world.run(
        std::string("train -c config.yaml --rollout.max_completion_length=40 "
                    "--rollout.prefill_chunk=3 --rollout.kv_bits=") +
        bits);
    ASSERT_EQ(run.exit_code, 0) << run.errors;
    auto rows = rows_of(world.read("run/metrics.jsonl"));
    ASSERT_EQ(rows.size(), 2u);
    for (const auto& row : rows)
      EXPECT_EQ(row.at("sampling/sampling_logp_difference/max"), 0.0) << bits;
  }
}

TEST(KvBits, AreEightOrNone) {
  TinyWorld world;
  auto with = [&](const char* bits) {
    return world.run(std::string("train -c config.yaml --rollout.kv_bits=") + bits);
  };
  EXPECT_TRUE(failed(with("4"), 1, "rollout.kv_bits: expected 0 or 8, got 4"));
  EXPECT_TRUE(failed(with("16"), 2, "rollout.kv_bits"));
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --rollout.kv_bits=8 --lora.fine_tune_type=dora"),
      1,
      "fused decode step"));
}

TEST(KvBits, LogprobsTellTheDivergence) {
  TinyWorld world;
  world.write("text.jsonl", "{\"text\":\"f a b (a, b): a.b\"}\n");
  auto rounded = world.run("logprobs --model model --kv-bits 8 < text.jsonl");
  auto plain = world.run("logprobs --model model < text.jsonl");
  ASSERT_EQ(rounded.exit_code, 0) << rounded.errors;
  auto a = json::parse(rounded.output), b = json::parse(plain.output);
  EXPECT_FALSE(b.contains("kl"));
  ASSERT_EQ(a.at("kl").size(), a.at("logprobs").size());
  EXPECT_NE(a.at("logprobs"), b.at("logprobs"));
  double sum = 0;
  for (const auto& kl : a.at("kl")) sum += kl.get<double>();
  EXPECT_GT(sum, 0);
  EXPECT_LT(sum / static_cast<double>(a.at("kl").size()), 0.01);
}

}  // namespace
}  // namespace pupil::testing
