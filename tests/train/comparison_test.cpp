// Reports of one and two policies against numbers counted by hand.

#include "train/comparison.h"

#include <gtest/gtest.h>

#include "train/comparison_text.h"

namespace pupil {
namespace {

using Json = nlohmann::ordered_json;

// One task for each text; '+' passes all tests, '-' does not, '?' was not tested.
Examined examined(const std::string& name, const std::vector<std::string>& tasks) {
  Examined examined{name, {}};
  for (size_t i = 0; i < tasks.size(); ++i) {
    auto& group = examined.groups.emplace_back();
    group.task.id = "t" + std::to_string(i);
    group.task.prompt = "prompt " + std::to_string(i);
    for (char c : tasks[i]) {
      auto& rollout = group.rollouts.emplace_back();
      rollout.completion.text = name + " says " + c;
      rollout.completion.tokens = {1, 2};
      auto score = c == '?' ? std::nullopt : std::optional(c == '+' ? 1.0 : 0.5);
      rollout.scores = {{score, ""}};
      rollout.reward = score;
    }
  }
  return examined;
}

// The share of k-subsets of the samples that hold a pass, by trying all of them.
double pass_at_k_directly(const std::string& samples, int k) {
  int subsets = 0, with_pass = 0, n = static_cast<int>(samples.size());
  for (unsigned mask = 0; mask < 1u << n; ++mask) {
    if (__builtin_popcount(mask) != k) continue;
    ++subsets;
    bool passed = false;
    for (int i = 0; i < n; ++i) passed |= (mask >> i & 1) && samples[i] == '+';
    with_pass += passed;
  }
  return static_cast<double>(with_pass) / subsets;
}

const std::vector<std::string> kTasks = {"++--", "----", "+---", "++++", "-+++"};

TEST(Comparison, PassAtKIsTheShareOfSubsets) {
  auto policy = examined("base", kTasks);
  auto report = comparison_json({&policy, 1}, {}, {{"tests"}, {1, 2, 3, 4}, 7});
  for (int k : {1, 2, 3, 4}) {
    double sum = 0;
    for (const auto& task : kTasks) sum += pass_at_k_directly(task, k);
    const auto& figure = report["base"]["pass@" + std::to_string(k)];
    EXPECT_NEAR(figure["mean"], sum / 5, 1e-12);
    EXPECT_EQ(figure["tasks"], 5);
    EXPECT_EQ(figure["interval"], "bootstrap");
    EXPECT_LE(figure["ci95"][0], figure["mean"]);
    EXPECT_GE(figure["ci95"][1], figure["mean"]);
  }
  EXPECT_EQ(report["tasks"][2]["base"]["passed"], 1);
  EXPECT_EQ(report["tasks"][2]["base"]["tested"], 4);
  EXPECT_FALSE(report.contains("difference"));
}

TEST(Comparison, OneSampleATaskHasWilsonsInterval) {
  auto policy = examined("base", {"+", "-", "+", "?"});
  auto report = comparison_json({&policy, 1}, {}, {{"tests"}, {1}, 0});
  const auto& figure = report["base"]["pass@1"];
  EXPECT_EQ(figure["interval"], "wilson");
  EXPECT_EQ(figure["tasks"], 3);
  EXPECT_DOUBLE_EQ(figure["mean"], 2.0 / 3);
  EXPECT_NEAR(figure["ci95"][0], 1 - 0.7923403991979523, 1e-12);
}

TEST(Comparison, OfAPolicyWithItselfIsNothing) {
  std::vector<Examined> same = {examined("base", kTasks), examined("adapter", kTasks)};
  auto report = comparison_json(same, {}, {{"tests"}, {1, 4}, 0});
  for (const auto& [name, figure] : report["difference"].items()) {
    EXPECT_EQ(figure["mean"], 0) << name;
    EXPECT_EQ(figure["ci95"], Json({0.0, 0.0})) << name;
  }
  EXPECT_EQ(report["flips"]["mcnemar_p"], 1);
  EXPECT_TRUE(report["flipped"].empty());
}

TEST(Comparison, NamesWhatFlippedWithTellingAnswers) {
  std::vector<Examined> both = {
      examined("base", {"+--", "++-", "---", "?-?"}),
      examined("adapter", {"-++", "+--", "---", "?+-"})};
  auto report = comparison_json(both, {}, {{"tests"}, {1}, 0});
  EXPECT_EQ(report["flips"]["gained"], Json({"t0", "t3"}));
  EXPECT_EQ(report["flips"]["lost"], Json({"t1"}));
  EXPECT_EQ(report["flips"]["mcnemar_p"], 1);
  ASSERT_EQ(report["flipped"].size(), 3u);
  EXPECT_EQ(report["flipped"][0]["base"], "base says -");
  EXPECT_EQ(report["flipped"][0]["adapter"], "adapter says +");
  EXPECT_EQ(report["flipped"][2]["task"], "t1");
  EXPECT_EQ(report["flipped"][2]["adapter"], "adapter says -");
  double base = (1 + 2 + 0 + 0) / 3.0, adapter = (2 + 1 + 0 + 1.5) / 3.0;
  EXPECT_NEAR(report["difference"]["pass@1"]["mean"], (adapter - base) / 4, 1e-12);
}

TEST(Comparison, TheJudgeHasItsWinRate) {
  std::vector<Examined> both = {
      examined("base", {"-", "-"}), examined("adapter", {"-", "-"})};
  JudgedPairs judged{{1.0, 0.5}, 1, 1, 0, 3};
  auto report = comparison_json(both, judged, {{"tests"}, {1}, 0});
  EXPECT_EQ(report["judge"]["win_rate"]["mean"], 0.75);
  EXPECT_EQ(report["judge"]["unscored"], 3);
}

TEST(Comparison, WantsTheSameTasks) {
  std::vector<Examined> both = {
      examined("base", {"-", "-"}), examined("adapter", {"-"})};
  EXPECT_THROW(comparison_json(both, {}, {{"tests"}, {1}, 0}), std::invalid_argument);
}

Json whole_report() {
  std::vector<Examined> both = {
      examined("base", {"+", "-", "?"}), examined("adapter", {"-", "-", "-"})};
  Json report = {
      {"settings",
       {{"model", "m"},
        {"adapter", "a"},
        {"tasks", "t.jsonl"},
        {"num_tasks", 3},
        {"samples", 1},
        {"temperature", 0.0},
        {"max_tokens", 64},
        {"seed", 5}}}};
  report.update(comparison_json(
      both, JudgedPairs{{{}, {}, {}}, 0, 0, 0, 3}, {{"tests"}, {1}, 5}));
  return report;
}

TEST(ComparisonText, SaysWhatCountsAndWhatDoesNot) {
  auto text = comparison_text(whole_report());
  for (std::string part :
       {"t.jsonl: 3 tasks, one greedy answer each, at most 64 tokens, seed 5",
        "Wilson's for pass@1",
        "answers of the base that could not be tested and do not count: 1",
        "by the base alone: 1 (McNemar p = 1)",
        "judge: no pair was judged"}) {
    EXPECT_NE(text.find(part), text.npos) << part << " in\n" << text;
  }
}

TEST(ComparisonText, MarkdownShowsBothAnswersOfAFlip) {
  auto text = comparison_markdown(whole_report());
  for (std::string part :
       {"### t0: lost", "base says +", "adapter says -", "prompt 0", "## Tasks"}) {
    EXPECT_NE(text.find(part), text.npos) << part << " in\n" << text;
  }
}

}  // namespace
}  // namespace pupil
