#include "train/report.h"

#include <gtest/gtest.h>
#include <cmath>

#include "train/bootstrap.h"

namespace pupil {

namespace {

using Values = std::vector<std::optional<double>>;

Evaluation evaluation_of(const Values& rewards, const std::string& answer) {
  Evaluation evaluation;
  evaluation.metrics = {"reward", "teacher"};
  evaluation.values = {rewards, Values(rewards.size())};  // the teacher scored nothing
  for (size_t i = 0; i < rewards.size(); ++i) {
    evaluation.task_ids.push_back("task/" + std::to_string(i));
    evaluation.prompts.push_back("prompt " + std::to_string(i));
    evaluation.answers.push_back(answer + " " + std::to_string(i));
  }
  return evaluation;
}

}  // namespace

TEST(Bootstrap, CoversTheMeanAndIsSeeded) {
  Values values;
  for (int i = 0; i < 60; ++i) values.push_back(i % 2 ? 1.0 : 0.0);
  values.push_back(std::nullopt);
  auto interval = bootstrap_mean(values, 1), again = bootstrap_mean(values, 1);
  EXPECT_DOUBLE_EQ(interval.mean, 0.5);
  EXPECT_EQ(interval.count, 60);
  // 1.96 standard errors of a fair coin over 60 tasks.
  EXPECT_NEAR(interval.low, 0.5 - 1.96 * 0.5 / std::sqrt(60.0), 0.02);
  EXPECT_NEAR(interval.high, 0.5 + 1.96 * 0.5 / std::sqrt(60.0), 0.02);
  EXPECT_EQ(interval.low, again.low);
}

TEST(Bootstrap, ThePairedDifferenceIgnoresHowHardTasksAre) {
  Values before, after;
  for (int i = 0; i < 20; ++i) {
    before.push_back(i / 20.0);
    after.push_back(i / 20.0 + 0.1);
  }
  after[3].reset();  // a pair needs both
  auto interval = bootstrap_difference(before, after, 1);
  EXPECT_EQ(interval.count, 19);
  EXPECT_NEAR(interval.low, 0.1, 1e-9);
  EXPECT_NEAR(interval.high, 0.1, 1e-9);
  after.pop_back();
  EXPECT_THROW(bootstrap_difference(before, after, 1), std::invalid_argument);
}

// `before` may be of an older run, with other numbers of samples.
TEST(Report, TellsWhatBothEvaluationsHave) {
  auto before = evaluation_of({0.0, 0.5}, "old"),
       after = evaluation_of({0.75, 0.5}, "new");
  before.metrics.insert(before.metrics.begin() + 1, "pass@2");
  before.values.insert(before.values.begin() + 1, Values{0.0, 1.0});
  RunSummary summary{7, 20, 12.5, BestCheckpoint{10, "eval_reward", 0.7, "run/ten"}};
  auto report = report_json(before, after, summary);
  EXPECT_FALSE(report["after"].contains("pass@2"));
  EXPECT_DOUBLE_EQ(report["after"]["reward"]["mean"].get<double>(), 0.625);
  EXPECT_EQ(report["best"]["step"], 10);
  for (const auto& text : {report_text(report), report_markdown(report)}) {
    EXPECT_NE(
        text.find("\nbest: step 10, eval_reward 0.700, run/ten\n"), std::string::npos)
        << text;
  }
}

TEST(Report, HasTheDesignsShape) {
  auto before = evaluation_of({0.0, 0.5}, "old"),
       after = evaluation_of({0.75, 0.5}, "new");
  auto report = report_json(before, after, {7, 20, 12.5, {}});
  EXPECT_EQ(report["seed"], 7);
  EXPECT_EQ(report["steps"], 20);
  EXPECT_EQ(report["seconds"], 12.5);
  EXPECT_EQ(report["before"]["reward"]["mean"], 0.25);
  EXPECT_EQ(report["after"]["reward"]["mean"], 0.625);
  EXPECT_EQ(report["difference"]["reward"]["mean"], 0.375);
  EXPECT_EQ(report["difference"]["reward"]["ci95"].size(), 2u);
  EXPECT_FALSE(report["before"].contains("teacher"));  // nothing is known about it
  EXPECT_EQ(report["example"]["task"], "task/0");
  EXPECT_EQ(report["example"]["after"], "new 0");
}

TEST(Report, MarkdownKeepsTheStudentsFencesInside) {
  auto before = evaluation_of({0.0}, "```python\npass\n```"),
       after = evaluation_of({1.0}, "x");
  auto text = report_markdown(report_json(before, after, {}));
  EXPECT_NE(text.find("````\n```python"), std::string::npos);
  EXPECT_NE(text.find("+1.000 [+1.000, +1.000]"), std::string::npos);
}

TEST(Report, OtherTasksAreAnError) {
  auto before = evaluation_of({0.0}, "a"), after = evaluation_of({0.0, 1.0}, "a");
  EXPECT_THROW(report_json(before, after, {}), std::invalid_argument);
}

TEST(Evaluation, SurvivesItsFile) {
  auto evaluation = evaluation_of({0.25, std::nullopt}, "text");
  auto stored = nlohmann::json::parse(to_json(evaluation).dump());
  auto loaded = evaluation_from_json(stored);
  EXPECT_EQ(loaded.metrics, evaluation.metrics);
  EXPECT_EQ(loaded.values, evaluation.values);
  EXPECT_EQ(loaded.answers, evaluation.answers);
  EXPECT_THROW(evaluation_from_json({{"tasks", 3}}), std::invalid_argument);
}

}  // namespace pupil
