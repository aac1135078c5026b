#include "train/step_text.h"

#include <gtest/gtest.h>

#include "support/files.h"

namespace pupil {

namespace {

using testing::has;

StepRecord busy_step() {
  StepRecord record;
  record.step = 120;
  record.loss = -0.01234;
  record.grad_norm = 0.4567;
  record.with_kl = true;
  record.groups.resize(2);
  for (int i = 0; i < 8; ++i) {
    Rollout rollout;
    rollout.reward = 0.125 * i;
    rollout.completion.tokens.resize(100);
    rollout.completion.text = "answer " + std::to_string(i);
    record.groups[i / 4].rollouts.push_back(rollout);
  }
  record.groups[0].task.prompt = "the first task";
  record.groups[1].task.prompt = "the second task";
  record.policy.num_tokens = 800;
  record.policy.kl = 1;
  record.policy.entropy = 400;
  record.policy.num_ratios = 800;
  record.policy.clipped_low = 8;
  record.seconds = {6.2, 0.5, 3.3};
  record.peak_memory_gb = 12.34;
  return record;
}

}  // namespace

TEST(StepText, IsTwoLinesThatFitATerminal) {
  auto text = step_line(busy_step(), 1000, 5025);
  auto end = text.find('\n');
  ASSERT_NE(end, text.npos);
  auto first = text.substr(0, end), second = text.substr(end + 1);
  EXPECT_EQ(
      first,
      "step 120/1000  reward 0.438 +- 0.306  kl 0.0013  entropy 0.50  clip 0.010  "
      "loss -0.0123  grad 0.457");
  EXPECT_EQ(
      second,
      "   length 100  sample 62 % 129 tok/s  score 5 %  train 33 % 242 tok/s  12.3 GB  "
      "10.0 s  1:23:45 left");
  EXPECT_LE(first.size(), 100u);
  EXPECT_LE(second.size(), 100u);
}

TEST(StepText, ASkippedStepSaysWhy) {
  auto record = busy_step();
  record.skipped = true;
  auto text = step_line(record, 1000, 1);
  EXPECT_TRUE(has(text, "+- 0.306  skipped: no group with a spread of rewards\n"));
}

TEST(StepText, CompletionsAreTheBestAndTheWorst) {
  auto record = busy_step();
  record.groups[1].rollouts[2].reward.reset();
  record.groups[1].rollouts[3].completion.text = "```\n</code>";
  auto text = completions_markdown(record);
  EXPECT_TRUE(has(text, "**Best, reward 0.875**\n\n```\nthe second task\n```\n"));
  EXPECT_TRUE(has(text, "````\n```\n</code>\n````\n"));
  EXPECT_TRUE(has(text, "**Worst, reward 0.000**\n\n```\nthe first task\n```\n"));
  EXPECT_TRUE(has(text, "```\nanswer 0\n```\n"));
  EXPECT_EQ(completions_markdown(StepRecord()), "");
}

}  // namespace pupil
