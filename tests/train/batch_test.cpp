#include "train/batch.h"

#include <gtest/gtest.h>
#include <cmath>

#include "train/groups.h"

namespace pupil {

namespace {

using testing::random_group;
using testing::scored_only;

bool same_bits(const mx::array& a, const mx::array& b) {
  return a.shape() == b.shape() && mx::array_equal(a, b, true).item<bool>();
}

void expect_same(const Microbatch& a, const Microbatch& b) {
  EXPECT_TRUE(same_bits(a.prompt, b.prompt));
  EXPECT_TRUE(same_bits(a.completions, b.completions));
  EXPECT_EQ(a.lengths, b.lengths);
  EXPECT_TRUE(same_bits(a.mask, b.mask));
  EXPECT_TRUE(same_bits(a.positions, b.positions));
  EXPECT_TRUE(same_bits(a.slots, b.slots));
  EXPECT_TRUE(same_bits(a.sampler_logprobs, b.sampler_logprobs));
  EXPECT_TRUE(same_bits(a.likelihood, b.likelihood));
  EXPECT_TRUE(same_bits(a.advantages, b.advantages));
}

RolloutGroup two_completions() {
  RolloutGroup group;
  group.prompt.tokens = {1, 2};
  group.rollouts.resize(2);
  group.rollouts[0].completion = {{5, 6}, {-0.5f, -1.5f}, "", FinishReason::stop};
  group.rollouts[1].completion = {{7, 8, 9}, {}, "", FinishReason::length};
  group.rollouts[0].reward = 1.0;
  group.rollouts[1].reward = 0.0;
  group.rollouts[0].advantage = 0.7;
  group.rollouts[1].advantage = -0.7;
  return group;
}

std::vector<Microbatch> pack_one(const RolloutGroup& group, const BatchConfig& config) {
  return pack(std::vector<RolloutGroup>{group}, config);
}

}  // namespace

TEST(Batch, LaysOutAGroup) {
  auto batches = pack_one(two_completions(), {});
  ASSERT_EQ(batches.size(), 1u);
  const auto& b = batches[0];
  EXPECT_EQ(b.rows, (std::vector<size_t>{0, 1}));
  EXPECT_EQ(b.lengths, (std::vector<int>{2, 3}));
  int completions[] = {5, 6, 0, 7, 8, 9};
  EXPECT_TRUE(same_bits(b.completions, mx::array(completions, {2, 3}, mx::int32)));
  EXPECT_TRUE(same_bits(b.positions, mx::array({0, 1, 3, 4, 5})));
  EXPECT_TRUE(same_bits(b.slots, mx::array({0, 1, 5, 2, 3, 4}, {2, 3})));
  EXPECT_EQ(mx::sum(b.mask).item<float>(), 5.0f);
  EXPECT_TRUE(same_bits(b.likelihood, mx::array({false, true}, {2, 1})));
  float sampler[] = {-0.5f, -1.5f, NAN, NAN, NAN, NAN};
  EXPECT_TRUE(same_bits(b.sampler_logprobs, mx::array(sampler, {2, 3}, mx::float32)));
}

TEST(Batch, TheEndOfSequenceTokenIsInTheLoss) {
  auto group = two_completions();
  group.rollouts[1].completion.tokens = {7, 8, 2};  // ends with the EOS id
  auto batch = pack_one(group, {})[0];
  EXPECT_EQ(mx::slice(batch.mask, {1, 2}, {2, 3}).item<float>(), 1.0f);
}

TEST(Batch, SplitsByTokensAndLosesNoRow) {
  std::mt19937 random(3);
  for (int limit : {1, 12, 20, 40, 4096}) {
    auto group = random_group(random, 8);
    group.rollouts[0].reward = 9;
    group.rollouts[0].advantage = 1;  // spread for certain
    BatchConfig config{.max_tokens = limit};
    std::vector<int> seen(8, 0);
    for (const auto& b : pack_one(group, config)) {
      int rows = b.completions.shape(0);
      int tokens = b.prompt.shape(0);
      for (int length : b.lengths) tokens += length;
      EXPECT_TRUE(rows == 1 || tokens <= limit) << limit;
      for (size_t row : b.rows) ++seen[row];
    }
    EXPECT_EQ(seen, std::vector<int>(8, 1));
  }
}

TEST(Batch, UnscoredRolloutsChangeNoBit) {
  std::mt19937 random(7);
  BatchConfig config{.max_tokens = 40, .max_completion_length = 9};
  for (int trial = 0; trial < 1000; ++trial) {
    std::vector<RolloutGroup> groups = {
        random_group(random, 6, 1), random_group(random, 6, 2)};
    auto alone = scored_only(groups);
    auto scale = static_cast<ScaleRewards>(trial % 3);
    testing::set_advantages(groups, scale);
    testing::set_advantages(alone, scale);
    auto a = pack(groups, config), b = pack(alone, config);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) expect_same(a[i], b[i]);
    auto totals = totals_of(groups, config), other = totals_of(alone, config);
    ASSERT_EQ(totals.num_sequences, other.num_sequences);
    ASSERT_EQ(totals.num_tokens, other.num_tokens);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "trial " << trial;
  }
}

TEST(Batch, AGroupWithoutSpreadIsNoWork) {
  auto group = two_completions();
  for (auto& rollout : group.rollouts) rollout.advantage = 0;
  EXPECT_TRUE(pack_one(group, {}).empty());
  auto totals = totals_of(std::vector<RolloutGroup>{group}, {});
  EXPECT_EQ(totals.num_sequences, 2);
  EXPECT_EQ(totals.num_tokens, 5);
}

// As no baseline and normalize_then_sum leave them.
TEST(Batch, APairGoesByRewardWhateverTheAdvantagesAre) {
  BatchConfig config{.pairs = true};
  for (auto [a, b] : {std::pair{0.7, 0.2}, {-0.7, 0.7}, {0.0, 0.0}}) {
    auto group = two_completions();  // the first is the better one
    group.rollouts[0].advantage = a;
    group.rollouts[1].advantage = b;
    auto batches = pack_one(group, config);
    ASSERT_EQ(batches.size(), 1u);
    EXPECT_TRUE(same_bits(batches[0].advantages, mx::array({1.0f, -1.0f})));
    std::swap(group.rollouts[0].reward, group.rollouts[1].reward);
    batches = pack_one(group, config);
    EXPECT_TRUE(same_bits(batches[0].advantages, mx::array({-1.0f, 1.0f})));
  }
}

TEST(Batch, TruncatedCompletionsCanBeLeftOut) {
  BatchConfig config{.mask_truncated_completions = true};
  auto batches = pack_one(two_completions(), config);
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].rows, (std::vector<size_t>{0}));
  auto totals = totals_of(std::vector<RolloutGroup>{two_completions()}, config);
  EXPECT_EQ(totals.num_sequences, 2);  // as in TRL
  EXPECT_EQ(totals.num_tokens, 2);
}

}  // namespace pupil
