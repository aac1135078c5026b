// Ten steps of LoRA, DoRA and whole weights equal those of PyTorch and PEFT on the tiny
// model of tests/golden/qwen2 (tools/make_adapter_golden.py).

#include <gtest/gtest.h>

#include "models/lora.h"
#include "models/model.h"
#include "train/learner.h"
#include "train/loss_settings.h"

namespace pupil {

namespace {

using Tensors = std::unordered_map<std::string, mx::array>;

constexpr const char* kGolden = PUPIL_SOURCE_DIR "/tests/golden/";
constexpr int kPrompt = 8;

Tensors golden(const std::string& path) {
  return mx::load_safetensors(kGolden + path + ".safetensors").first;
}

// The rows of the reference as given answers, one prompt each.
std::vector<RolloutGroup> lessons() {
  auto tokens = golden("qwen2/golden").at("tokens");  // [B, T]
  tokens.eval();
  std::vector<RolloutGroup> groups(tokens.shape(0));
  for (size_t i = 0; i < groups.size(); ++i) {
    const int* row = tokens.data<int>() + i * tokens.shape(1);
    groups[i].prompt.tokens = {row, row + kPrompt};
    Rollout rollout;
    rollout.completion.tokens = {row + kPrompt, row + tokens.shape(1)};
    rollout.source = Source::teacher;
    rollout.reward = rollout.advantage = 1;
    groups[i].rollouts = {rollout};
  }
  return groups;
}

LoraConfig config_of(const std::string& kind) {
  LoraConfig config{.fine_tune_type = kind, .rank = 2, .scale = 2.0f};
  if (kind == "full") config.keys = "all";
  return config;
}

// The model with the reference's adapter.
Decoder start_of(const LoraConfig& config, const Tensors& reference) {
  auto model = load_decoder(std::string(kGolden) + "qwen2");
  attach_lora(model, config, 0);
  auto arrays = trained_arrays(model);
  auto paths = trained_paths(model);
  for (size_t i = 0; i < paths.size(); ++i) {
    auto found = reference.find("start." + paths[i]);
    if (found != reference.end()) arrays[i] = found->second;
  }
  assign_trained(model, arrays);
  update_norms(model);
  return model;
}

LearnerConfig learning() {
  TrainConfig train;
  train.method = "sft";
  LearnerConfig config;
  config.loss = policy_loss_config(resolve_method(train));
  config.optimizer.weight_decay = 0.01;
  return config;
}

double step_loss(Learner& learner, const std::vector<RolloutGroup>& groups) {
  auto totals = totals_of(groups, {});
  double loss = 0;
  for (auto& batch : pack(groups, {}))
    loss += learner.forward_backward(batch, totals).loss;
  return loss;
}

// Every array that the reference has under `prefix` is ours to a ten-thousandth of its
// largest number.
void expect_arrays(
    const Tensors& reference,
    const std::string& prefix,
    const Learner& learner,
    const std::vector<mx::array>& ours) {
  size_t compared = 0, known = 0;
  for (const auto& [name, array] : reference) known += name.starts_with(prefix);
  for (size_t i = 0; i < ours.size(); ++i) {
    auto found = reference.find(prefix + learner.paths()[i]);
    if (found == reference.end()) continue;
    ++compared;
    float most = mx::max(mx::abs(found->second)).item<float>();
    float apart = mx::max(mx::abs(found->second - ours[i])).item<float>();
    EXPECT_LT(apart, 1e-4f * most + 1e-6f) << found->first;
  }
  EXPECT_EQ(compared, known);
  EXPECT_GT(compared, 0u);
}

class AdapterGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(AdapterGolden, TenStepsEqualPyTorchs) {
  auto reference = golden("adapters/" + GetParam());
  auto model = start_of(config_of(GetParam()), reference);
  Learner learner(model, learning());
  auto groups = lessons();
  auto losses = reference.at("losses");
  losses.eval();
  double most = 0;
  for (int step = 0; step < losses.shape(0); ++step) {
    double loss = step_loss(learner, groups);
    double apart = std::abs(loss - losses.data<float>()[step]);
    EXPECT_LT(apart, 1e-4) << "step " << step;
    most = std::max(most, apart);
    if (step == 0) expect_arrays(reference, "grad.", learner, learner.gradient());
    learner.optim_step(0.01);
  }
  RecordProperty("largest_difference_of_a_loss", std::to_string(most));
  for (const auto& path : learner.paths())
    EXPECT_TRUE(path.starts_with("model.layers"));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, AdapterGolden, ::testing::Values("lora", "dora", "full"));

}  // namespace

TEST(AdapterGolden, RsLoraIsPeftsScale) {
  auto reference = golden("adapters/lora");
  auto config = config_of("lora");
  config.use_rslora = true;
  auto model = start_of(config, reference);
  Learner learner(model, learning());
  EXPECT_NEAR(
      step_loss(learner, lessons()), reference.at("rslora_loss").item<float>(), 1e-5);
}

}  // namespace pupil
