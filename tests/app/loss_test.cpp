// `pupil loss` and `pupil advantages` against values recorded from TRL
// (tools/make_trl_golden.py), and what they say of bad lines.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <string>

#include "app/loss_request.h"
#include "app/run_program.h"
#include "app/trl_fields.h"
#include "base/json.h"
#include "support/files.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

json recorded(const std::string& name, const std::string& by = "trl") {
  return read_json_file(PUPIL_SOURCE_DIR "/tests/golden/" + by + "/" + name + ".json");
}

// Equal to 1e-5, of the larger where that is above 1.
void expect_near(const json& ours, const json& trls, const std::string& where) {
  if (trls.is_array()) {
    ASSERT_EQ(ours.size(), trls.size()) << where;
    for (size_t i = 0; i < trls.size(); ++i) expect_near(ours[i], trls[i], where);
  } else if (trls.is_null()) {
    EXPECT_TRUE(ours.is_null()) << where;
  } else {
    ASSERT_TRUE(ours.is_number()) << where << ' ' << ours;
    double expected = trls.get<double>();
    EXPECT_NEAR(ours.get<double>(), expected, 1e-5 * std::max(1.0, std::abs(expected)))
        << where;
  }
}

void expect_equal_answer(const json& record) {
  auto settings = record["request"];
  for (const char* table :
       {"logprobs",
        "old_logprobs",
        "ref_logprobs",
        "sampling_logprobs",
        "entropies",
        "mask"}) {
    if (settings.contains(table) && !settings[table].is_null()) settings.erase(table);
  }
  auto where = settings.dump();
  json answer = answer_loss(record["request"].dump());
  expect_near(answer["loss"], record["loss"], "loss " + where);
  expect_near(answer["grad_logprobs"], record["grad_logprobs"], "gradient " + where);
  ASSERT_EQ(answer["metrics"].size(), record["metrics"].size())
      << answer["metrics"] << record["metrics"] << where;
  for (const auto& [name, value] : record["metrics"].items()) {
    ASSERT_TRUE(answer["metrics"].contains(name)) << name << where;
    expect_near(answer["metrics"][name], value, name + " " + where);
  }
}

class LossGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(LossGolden, EqualsTrl) {
  auto records = recorded(GetParam());
  ASSERT_GE(records.size(), 10u);
  for (const auto& record : records) expect_equal_answer(record);
}

INSTANTIATE_TEST_SUITE_P(
    All,
    LossGolden,
    ::testing::Values(
        "grpo",
        "bnpo",
        "dr_grpo",
        "dapo",
        "luspo",
        "cispo",
        "sapo",
        "vespo",
        "gmpo",
        "rloo",
        "sampler_correction"),
    [](const auto& info) { return std::string(info.param); });

class CovarianceGolden : public ::testing::TestWithParam<const char*> {};

// tools/make_cov_golden.py. That the selection matters: another share, another loss.
TEST_P(CovarianceGolden, EqualsVerl) {
  auto records = recorded(GetParam(), "verl");
  ASSERT_EQ(records.size(), 12u);
  int moved = 0;
  for (const auto& record : records) {
    auto request = record["request"];
    auto where = request.dump();
    json answer = answer_loss(where);
    expect_near(answer["loss"], record["loss"], "loss " + where);
    expect_near(answer["grad_logprobs"], record["grad_logprobs"], "gradient " + where);
    request["cov_share"] = 0.1;
    moved += answer_loss(request.dump())["grad_logprobs"] != answer["grad_logprobs"];
  }
  EXPECT_GE(moved, 6);
}

INSTANTIATE_TEST_SUITE_P(
    All,
    CovarianceGolden,
    ::testing::Values("clip_cov", "kl_cov"),
    [](const auto& info) { return std::string(info.param); });

// TRL puts 0 where nothing was scored; we put null.
TEST(AdvantagesGolden, EqualsTrl) {
  auto records = recorded("advantages");
  ASSERT_EQ(records.size(), 50u);
  size_t unscored = 0;
  for (const auto& record : records) {
    auto answer = answer_advantages(record["request"].dump())["advantages"];
    for (size_t g = 0; g < answer.size(); ++g) {
      for (size_t i = 0; i < answer[g].size(); ++i) {
        double trls = record["advantages"][g][i];
        bool scored = !answer[g][i].is_null();
        unscored += !scored;
        double ours = scored ? answer[g][i].get<double>() : 0.0;
        EXPECT_NEAR(ours, trls, 1e-5) << record["request"];
      }
    }
  }
  EXPECT_GT(unscored, 0u);
}

json small() {
  return {
      {"logprobs", {{-1.0, -2.0}, {-0.5, -3.0}}},
      {"old_logprobs", nullptr},
      {"advantages", {1.0, -1.0}},
      {"mask", {{1, 1}, {1, 0}}}};
}

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

std::string refusal_of(const json& change) {
  auto request = small();
  for (const auto& [key, value] : change.items()) request[key] = value;
  return message_of([&] { answer_loss(request.dump()); });
}

}  // namespace

TEST(LossCommand, AnswersLineByLine) {
  const std::string folder = ::testing::TempDir() + "pupil_loss";
  auto line = small().dump();
  write_text(folder + "/in.jsonl", line + "\n\n" + line + "\n");
  auto result = run_in(folder, "loss < in.jsonl");
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  auto answer = json::parse(result.output.substr(0, result.output.find('\n')));
  // On policy, dapo: -A over three tokens.
  EXPECT_NEAR(answer["loss"].get<double>(), -1.0 / 3, 1e-6);
  EXPECT_NEAR(answer["grad_logprobs"][0][1].get<double>(), -1.0 / 3, 1e-6);
  EXPECT_EQ(answer["grad_logprobs"][1][1], 0.0);
  write_text(folder + "/bad.jsonl", line + "\n{\"mask\": 3}\n");
  result = run_in(folder, "loss < bad.jsonl");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(has(result.errors, "[loss] line 2: logprobs: is missing"));
  EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1);
}

TEST(LossCommand, AdvantagesAnswerLineByLine) {
  const std::string folder = ::testing::TempDir() + "pupil_advantages";
  write_text(
      folder + "/in.jsonl",
      "{\"rewards\": [[1, 0, null]], \"num_generations\": 3, \"scale_rewards\": "
      "false}\n");
  auto result = run_in(folder, "advantages < in.jsonl");
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_EQ(result.output, "{\"advantages\":[[0.5,-0.5,null]]}\n");
}

TEST(LossRequest, IgnoresSettingsWithoutEffect) {
  EXPECT_TRUE(is_grpo_config_field("output_dir"));
  EXPECT_TRUE(is_grpo_config_field("vllm_importance_sampling_cap"));
  EXPECT_FALSE(is_grpo_config_field("dir"));
  EXPECT_FALSE(is_grpo_config_field("optim optim_args"));
  auto request = small();
  auto plain = answer_loss(request.dump());
  request["learning_rate"] = 3;
  request["use_vllm"] = true;  // nothing known of the sampler
  request["beta"] = nullptr;
  EXPECT_EQ(answer_loss(request.dump()), plain);
}

TEST(LossRequest, CorrectsTheSampler) {
  auto request = small();
  request["sampling_logprobs"] = {{-2.0, -2.0}, {-0.5, -3.0}};
  request["use_vllm"] = true;
  request["vllm_importance_sampling_mode"] = "token_truncate";
  request["vllm_importance_sampling_clip_max"] = 2.0;
  auto answer = answer_loss(request.dump());
  EXPECT_NEAR(answer["loss"].get<double>(), -(2.0 + 1.0 - 1.0) / 3, 1e-6);
}

TEST(LossRequest, ClipCovDrawsBySeed) {
  auto request = recorded("clip_cov", "verl")[0]["request"];
  request["cov_share"] = 0.0002;  // one of several
  auto answer = [&](int seed) {
    request["seed"] = seed;
    return answer_loss(request.dump());
  };
  EXPECT_EQ(answer(1), answer(1));
  std::set<std::string> answers;
  for (int seed = 0; seed < 20; ++seed) answers.insert(answer(seed).dump());
  EXPECT_GT(answers.size(), 1u);
  EXPECT_TRUE(
      has(refusal_of({{"cov_share", 2}, {"loss_type", "kl_cov"}}), "cov_share"));
  EXPECT_TRUE(has(refusal_of({{"kl_cov_coef", -1}}), "kl_cov_coef: expected a number"));
  EXPECT_TRUE(has(refusal_of({{"seed", -1}, {"loss_type", "clip_cov"}}), "seed: exp"));
}

TEST(LossRequest, NamesTheField) {
  EXPECT_TRUE(has(refusal_of({{"epsilom", 1}}), "'epsilom'; did you mean epsilon?"));
  EXPECT_TRUE(has(refusal_of({{"epsilon", "x"}}), "epsilon: expected a number"));
  EXPECT_TRUE(has(refusal_of({{"loss_type", "ppo"}}), "loss_type: expected grpo|"));
  EXPECT_TRUE(
      has(refusal_of({{"importance_sampling_level", "word"}}),
          "importance_sampling_level:"));
  EXPECT_TRUE(has(refusal_of({{"beta", 0.1}}), "ref_logprobs: is missing, and beta"));
  EXPECT_TRUE(has(refusal_of({{"entropy_coef", 0.1}}), "entropies: is missing"));
  EXPECT_TRUE(has(refusal_of({{"top_entropy_quantile", 2}}), "top_entropy_quantile:"));
  EXPECT_TRUE(has(refusal_of({{"mask", {{1, 2}, {1, 0}}}}), "mask: expected 0 and 1"));
  EXPECT_TRUE(has(refusal_of({{"mask", {{1, 1}}}}), "mask: expected the shape"));
  EXPECT_TRUE(has(refusal_of({{"mask", nullptr}}), "mask: is missing"));
  EXPECT_TRUE(
      has(refusal_of({{"advantages", {1}}}), "advantages: expected one for each"));
  EXPECT_TRUE(
      has(refusal_of({{"logprobs", json::array()}}), "logprobs: expected a table"));
  EXPECT_TRUE(
      has(refusal_of({{"logprobs", {{1, 2}, {1}}}}), "logprobs: expected rows"));
  EXPECT_TRUE(
      has(refusal_of({{"logprobs", {{1e300}}}}), "logprobs: expected numbers of"));
  EXPECT_TRUE(
      has(refusal_of({{"gradient_accumulation_steps", 0}}),
          "gradient_accumulation_steps:"));
  EXPECT_TRUE(
      has(refusal_of({{"old_logprobs", {{-900, -2}, {-1, -1}}}}), "is not finite"));
}

TEST(LossRequest, NamesTheFieldThatIsNotFinite) {
  auto refused = [](const std::string& line) {
    return message_of([&] { answer_loss(line); });
  };
  EXPECT_TRUE(has(refused("{\"beta\": 1, \"advantages\": [NaN]}"), "advantages: exp"));
  EXPECT_TRUE(has(refused("{\"logprobs\": [[-Infinity]]}"), "logprobs: expected fin"));
  EXPECT_TRUE(has(refused("{\"logprobs\": [[1e999]]}"), "logprobs: expected fin"));
  EXPECT_TRUE(has(refused("{\"run_name\": \"NaN 1e999\"}"), "logprobs: is missing"));
  EXPECT_TRUE(has(refused("[1]"), "expected a JSON object"));
  EXPECT_TRUE(has(refused("{"), "not valid JSON"));
}

TEST(AdvantagesRequest, NamesTheField) {
  auto refused = [](const std::string& line) {
    return message_of([&] { answer_advantages(line); });
  };
  EXPECT_TRUE(has(refused("{}"), "rewards: is missing"));
  EXPECT_TRUE(has(refused("{\"rewards\": []}"), "rewards: expected [groups]"));
  EXPECT_TRUE(
      has(refused("{\"rewards\": [[1, 2], [1]]}"), "rewards: expected 2 compl"));
  EXPECT_TRUE(
      has(refused("{\"rewards\": [[1, [2]]]}"), "rewards: expected numbers or"));
  EXPECT_TRUE(has(refused("{\"rewards\": [[[1, 2], [2]]]}"), "2 rewards a completion"));
  EXPECT_TRUE(
      has(refused("{\"rewards\": [[\"1\"]]}"), "rewards: expected numbers, null"));
  EXPECT_TRUE(
      has(refused("{\"rewards\": [[1, 2]], \"num_generations\": 3}"),
          "expected 3 completions"));
  EXPECT_TRUE(
      has(refused("{\"rewards\": [[1, 2]], \"scale_rewards\": \"std\"}"),
          "scale_rewards:"));
  EXPECT_TRUE(
      has(refused("{\"rewards\": [[1, 2]], \"reward_weights\": [1, 2]}"),
          "reward_weights:"));
  EXPECT_TRUE(
      has(refused("{\"rewards\": [[1, 2]], \"multi_objective_aggregation\": \"x\"}"),
          "multi_objective_aggregation:"));
}

}  // namespace pupil::testing
