// A step of supervised fine-tuning equals that of TRL's SFTTrainer on the tiny model of
// tests/golden/qwen2 (tools/make_trl_sft_golden.py): loss and gradient of rows of
// several lengths, in one batch, accumulated or packed.

#include <gtest/gtest.h>

#include "base/json.h"
#include "models/lora.h"
#include "models/model.h"
#include "ops/host_values.h"
#include "train/learner.h"
#include "train/loss_settings.h"

namespace pupil {

namespace {

using nlohmann::json;

constexpr const char* kGolden = PUPIL_SOURCE_DIR "/tests/golden/";

json records() {
  return read_json_file(std::string(kGolden) + "trl/sft.json");
}

RolloutGroup lesson(const std::vector<int>& row, int masked) {
  RolloutGroup group;
  group.prompt.tokens = {row.begin(), row.begin() + masked};
  auto& rollout = group.rollouts.emplace_back();
  rollout.completion.tokens = {row.begin() + masked, row.end()};
  rollout.source = Source::teacher;
  rollout.reward = rollout.advantage = 1;
  return group;
}

// Packed: rows that begin with the same masked tokens in one pass, as data.packing
// does.
std::vector<RolloutGroup> lessons(const json& record, bool packed) {
  std::vector<RolloutGroup> groups;
  auto rows = record.at("rows").get<std::vector<std::vector<int>>>();
  for (size_t i = 0; i < rows.size(); ++i) {
    auto one = lesson(rows[i], record.at("prompts")[i]);
    bool joins =
        packed && !groups.empty() && groups[0].prompt.tokens == one.prompt.tokens;
    if (joins) {
      groups[0].rollouts.push_back(one.rollouts[0]);
    } else {
      groups.push_back(one);
    }
  }
  return groups;
}

Decoder model_to_train() {
  auto model = load_decoder(std::string(kGolden) + "qwen2");
  attach_lora(model, {.fine_tune_type = "full", .keys = "all"}, 0);
  return model;
}

PolicyLossConfig sft_loss() {
  TrainConfig train;
  train.method = "sft";
  return policy_loss_config(resolve_method(train));
}

// Shown arrays number by number, all of the blocks' by their norm.
void expect_gradient(const json& record, const Learner& learner) {
  size_t compared = 0, shown = 0;
  for (size_t i = 0; i < learner.paths().size(); ++i) {
    const auto& path = learner.paths()[i];
    ASSERT_TRUE(record.at("norms").contains(path)) << path;
    EXPECT_NEAR(global_norm({learner.gradient()[i]}), record["norms"][path], 1e-5)
        << path;
    ++compared;
    if (!record.at("grad").contains(path)) continue;
    ++shown;
    auto ours = host_values(learner.gradient()[i]);
    auto theirs = record["grad"][path].get<std::vector<float>>();
    ASSERT_EQ(ours.size(), theirs.size()) << path;
    for (size_t n = 0; n < ours.size(); ++n)
      ASSERT_NEAR(ours[n], theirs[n], 1e-5) << path;
  }
  EXPECT_EQ(compared, record.at("norms").size());
  EXPECT_EQ(shown, record.at("grad").size());
}

// Returns how many microbatches the step took.
size_t expect_step(const json& record, bool packed, int max_tokens) {
  auto model = model_to_train();
  Learner learner(model, {.loss = sft_loss(), .has_reference = false});
  BatchConfig config{.max_tokens = max_tokens};
  auto groups = lessons(record, packed);
  auto totals = totals_of(groups, config);
  double loss = 0;
  auto batches = pack(groups, config);
  for (auto& batch : batches) loss += learner.forward_backward(batch, totals).loss;
  EXPECT_NEAR(loss, record.at("loss").get<double>(), 1e-5) << record["name"];
  expect_gradient(record, learner);
  return batches.size();
}

}  // namespace

TEST(SftGolden, EqualsTrlsTrainer) {
  auto all = records();
  ASSERT_EQ(all.size(), 4u);
  for (const auto& record : all) {
    EXPECT_EQ(expect_step(record, false, 4096), 6u) << record["name"];
    EXPECT_EQ(expect_step(record, true, 4096), 1u) << record["name"];
    EXPECT_GT(expect_step(record, true, 24), 1u) << record["name"];
  }
}

}  // namespace pupil
