// Dynamic loss scaling: what float16 gradients lose without it, and what an overflow
// costs.

#include "train/loss_scale.h"

#include <gtest/gtest.h>
#include <cmath>

#include "base/log.h"
#include "support/files.h"
#include "support/temp_dir.h"
#include "train/groups.h"
#include "train/toy_rows.h"

namespace pupil::testing {
namespace {

// Given answers that count for little: `weight` is their advantage.
std::vector<RolloutGroup> lessons(double weight) {
  std::mt19937 random(3);
  std::vector<RolloutGroup> groups;
  for (int i = 0; i < 3; ++i) {
    auto group = random_group(random, 2);
    for (auto& rollout : group.rollouts) {
      rollout.source = Source::teacher;
      rollout.reward = 1;
      rollout.advantage = weight;
    }
    groups.push_back(group);
  }
  return groups;
}

struct Student {
  Decoder model;
  std::optional<Learner> learner;

  Student(mx::Dtype dtype, std::optional<bool> scaling)
      : model(tiny_decoder_of(dtype)) {
    attach_lora(model, {.rank = 4, .scale = 2.0f}, 1);
    TrainConfig train;
    train.method = "sft";
    LearnerConfig config;
    config.loss = policy_loss_config(resolve_method(train));
    config.loss_scaling = scaling;
    config.optimizer.eps = 1e-20;  // below the tiniest gradient here
    learner.emplace(model, config);
  }

  double gather(const std::vector<RolloutGroup>& groups) {
    auto totals = totals_of(groups, {});
    double loss = 0;
    for (auto& batch : pack(groups, {}))
      loss += learner->forward_backward(batch, totals).loss;
    return loss;
  }
};

bool same_bits(const std::vector<mx::array>& a, const std::vector<mx::array>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!mx::array_equal(a[i], b[i]).item<bool>()) return false;
  return a.size() == b.size();
}

constexpr double kTiny = 3e-7;

TrainConfig toy_of_float16(int steps) {
  auto train = toy_config(steps);
  train.loss_scale_window = 2;
  return train;
}

}  // namespace

TEST(LossScale, GrowsAfterAWindowAndHalvesAtOnce) {
  LossScale scale{.scale = 4, .window = 3};
  for (int i = 0; i < 2; ++i) scale.keep();
  EXPECT_EQ(scale.scale, 4);
  scale.keep();
  EXPECT_EQ(scale.scale, 8);
  scale.keep();
  EXPECT_TRUE(scale.lower());
  EXPECT_EQ(scale.scale, 4);
  EXPECT_EQ(scale.good_steps, 0);
  EXPECT_TRUE(scale.lower() && scale.lower());
  EXPECT_EQ(scale.scale, 1);
  EXPECT_FALSE(scale.lower());
  for (int i = 0; i < 3 * 40; ++i) scale.keep();
  EXPECT_EQ(scale.scale, 1 << 24);
  auto same = loss_scale_of(to_json(LossScale{8, 2, 3}), 5);
  EXPECT_TRUE(same.scale == 8 && same.good_steps == 2 && same.window == 5);
}

TEST(LossScale, IsOfFloat16ModelsUnlessSaid) {
  EXPECT_TRUE(Student(mx::float16, {}).learner->loss_scale());
  EXPECT_FALSE(Student(mx::bfloat16, {}).learner->loss_scale());
  EXPECT_FALSE(Student(mx::float32, {}).learner->loss_scale());
  EXPECT_FALSE(Student(mx::float16, false).learner->loss_scale());
  EXPECT_TRUE(Student(mx::float32, true).learner->loss_scale());
}

TEST(LossScale, ChangesNoBitOfAFloat32Gradient) {
  Student scaled(mx::float32, true), plain(mx::float32, false);
  auto groups = lessons(1);
  EXPECT_EQ(scaled.gather(groups), plain.gather(groups));
  EXPECT_GT(plain.learner->gradient_norm(), 1e-3f);
  EXPECT_TRUE(same_bits(scaled.learner->gradient(), plain.learner->gradient()));
}

TEST(LossScale, SavesGradientsFromUnderflow) {
  Student exact(mx::float32, {}), lost(mx::float16, false), saved(mx::float16, {});
  for (auto* student : {&exact, &lost, &saved}) student->gather(lessons(kTiny));
  float norm = exact.learner->gradient_norm();
  EXPECT_GT(norm, 0);
  EXPECT_EQ(lost.learner->gradient_norm(), 0);
  EXPECT_NEAR(saved.learner->gradient_norm() / norm, 1, 0.02);
}

// Adam does not mind how small a gradient is, only that it is there.
TEST(LossScale, AFloat16ModelLearnsWhereItsGradientsUnderflow) {
  for (bool scales : {false, true}) {
    Student student(mx::float16, scales);
    auto groups = lessons(kTiny);
    double first = student.gather(groups), last = first;
    for (int step = 0; step < 15; ++step) {
      student.learner->optim_step(1e-2);
      last = student.gather(groups);
    }
    if (scales) {
      EXPECT_LT(last, 0.8 * first);
    } else {
      EXPECT_EQ(last, first);
    }
  }
}

TEST(LossScale, AnOverflowLeavesAllAsItWas) {
  Student student(mx::float16, {});
  auto& learner = *student.learner;
  student.gather(lessons(1));
  learner.optim_step(1e-2);
  auto params = learner.params();
  auto state = learner.state();
  learner.set_loss_scale({.scale = 1 << 24, .window = 3});
  student.gather(lessons(1e3));
  EXPECT_FALSE(std::isfinite(learner.optim_step(1e-2)));
  EXPECT_EQ(learner.loss_scale()->scale, 1 << 23);
  EXPECT_EQ(learner.optimizer().step(), 1);
  EXPECT_TRUE(same_bits(params, learner.params()));
  for (const auto& [kind, arrays] : learner.state())
    EXPECT_TRUE(same_bits(arrays, state.at(kind))) << kind;
  EXPECT_TRUE(learner.gradient().empty());
  student.gather(lessons(1e-3));  // the next step has nothing of it
  EXPECT_TRUE(std::isfinite(learner.optim_step(1e-2)));
  EXPECT_FALSE(same_bits(params, learner.params()));
}

TEST(LossScale, IsNotToBlameAtOne) {
  Student student(mx::float16, {});
  student.learner->set_loss_scale({.scale = 1});
  student.gather(lessons(1e9));
  EXPECT_THROW(student.learner->optim_step(1e-2), NotFinite);
}

TEST(LossScale, ARunTellsOfOverflowsAndGoesOn) {
  start_log();
  TempDir dir;
  ToyRun run(toy_of_float16(14), tiny_decoder_of(mx::float16));
  run.learner->set_loss_scale({.scale = 1 << 24, .window = 100});
  auto start = run.learner->params();
  std::vector<bool> moved;
  run.hooks.on_metrics = [&](const auto&) {
    moved.push_back(!same_bits(start, run.learner->params()));
    start = run.learner->params();
  };
  run.run(dir.path() / "run");
  auto rows = rows_of(dir.path() / "run" / "metrics.jsonl");
  ASSERT_EQ(rows.size(), 14u);
  int overflows = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    bool overflowed = rows[i].at("overflowed");
    EXPECT_EQ(rows[i].at("loss_scale"), std::exp2(24 - overflows));
    EXPECT_EQ(rows[i].at("grad_norm").is_null(), overflowed);
    EXPECT_EQ(moved[i], !overflowed) << i;
    overflows += overflowed;
  }
  EXPECT_GT(overflows, 0);
  EXPECT_LT(overflows, 14);
  EXPECT_EQ(run.learner->optimizer().step(), 14 - overflows);
  auto log = read_text(dir.path() / "run" / "log.txt");
  EXPECT_TRUE(has(log, "step 1: float16 gradients overflowed at loss scale 16777216"));
}

TEST(LossScale, ResumesToTheBit) {
  TempDir dir;
  auto make = [] { return ToyRun(toy_of_float16(6), tiny_decoder_of(mx::float16)); };
  ToyRun whole = make(), cut = make(), resumed = make();
  for (auto* run : {&whole, &cut}) run->learner->set_loss_scale({1 << 24, 0, 2});
  expect_resume_is_exact(whole, dir.path() / "a", cut, resumed, dir.path() / "b", 3);
  EXPECT_EQ(whole.learner->loss_scale()->scale, resumed.learner->loss_scale()->scale);
  EXPECT_EQ(
      whole.learner->loss_scale()->good_steps,
      resumed.learner->loss_scale()->good_steps);
  EXPECT_EQ(
      timeless(rows_of(dir.path() / "a" / "metrics.jsonl")),
      timeless(rows_of(dir.path() / "b" / "metrics.jsonl")));
}

}  // namespace pupil::testing
