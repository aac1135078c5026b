#include "algo/preference_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "support/files.h"

namespace pupil {

namespace {

using Json = nlohmann::json;
using Rows = std::vector<size_t>;

const Json& golden() {
  static const Json json = Json::parse(
      testing::read_text(PUPIL_SOURCE_DIR "/tests/golden/trl/preference.json"));
  return json;
}

mx::array table(const Json& values, const Rows& rows) {
  std::vector<float> flat;
  for (size_t row : rows) {
    for (float x : values[row].get<std::vector<float>>()) flat.push_back(x);
  }
  int width = static_cast<int>(flat.size() / rows.size());
  return mx::array(flat.data(), {static_cast<int>(rows.size()), width}, mx::float32);
}

// Good and bad completions stand in turn.
PreferenceInputs inputs_of(const Rows& rows) {
  auto logprobs = table(golden()["logprobs"], rows);
  std::vector<float> mask, signs;
  for (size_t row : rows) {
    for (int t = 0; t < logprobs.shape(1); ++t) {
      mask.push_back(t < golden()["lengths"][row].get<int>() ? 1.0f : 0.0f);
    }
    signs.push_back(row % 2 == 0 ? 1.0f : -1.0f);
  }
  return {
      logprobs,
      table(golden()["ref_logprobs"], rows),
      mx::array(signs.data(), {static_cast<int>(rows.size())}, mx::float32),
      mx::array(mask.data(), logprobs.shape(), mx::float32)};
}

PreferenceConfig config_of(const Json& c) {
  PreferenceConfig config;
  config.type = preference_of(c["method"].get<std::string>()).value();
  config.beta = c["beta"];
  config.label_smoothing = c["label_smoothing"];
  config.simpo_gamma = c.value("simpo_gamma", 0.0);
  config.desirable_weight = c.value("desirable_weight", 1.0);
  config.undesirable_weight = c.value("undesirable_weight", 1.0);
  return config;
}

StepTotals totals_of(const Json& c) {
  StepTotals totals;
  totals.num_sequences = 6;
  if (!c.contains("kl")) return totals;
  double sum = 0;
  for (double kl : c["kl"]) sum += kl;
  totals.kl_baseline = std::max(sum / 6, 0.0);
  return totals;
}

struct Outcome {
  double loss = 0;
  std::vector<std::vector<float>> gradient = std::vector<std::vector<float>>(6);
  PreferenceMetrics metrics;
};

Outcome run(const Json& c, const std::vector<Rows>& microbatches) {
  Outcome outcome;
  auto config = config_of(c);
  for (const auto& rows : microbatches) {
    auto in = inputs_of(rows);
    std::function<mx::array(const mx::array&)> fn = [&](const mx::array& logprobs) {
      auto moving = in;
      moving.logprobs = logprobs;
      return preference_loss(moving, config, totals_of(c)).loss;
    };
    auto [value, gradient] = mx::value_and_grad(fn)(in.logprobs);
    outcome.loss += value.item<float>();
    gradient = mx::contiguous(gradient);
    gradient.eval();
    for (size_t i = 0; i < rows.size(); ++i) {
      const float* row = gradient.data<float>() + i * gradient.shape(1);
      outcome.gradient[rows[i]].assign(row, row + gradient.shape(1));
    }
    outcome.metrics += measure_preference(
        in, preference_loss(in, config, totals_of(c)), config.has_pairs());
  }
  return outcome;
}

}  // namespace

TEST(PreferenceLoss, EqualsTrlsNumbers) {
  for (const auto& c : golden()["cases"]) {
    auto method = c["method"].get<std::string>();
    std::vector<Rows> batches = {{0, 1}, {2, 3}, {4, 5}};
    if (method == "kto") batches = {{0, 1, 2, 3}, {4}, {5}};
    auto outcome = run(c, batches);
    EXPECT_NEAR(outcome.loss, c["loss"].get<double>(), 1e-5) << method;
    for (size_t i = 0; i < 6; ++i) {
      auto expected = c["gradient"][i].get<std::vector<float>>();
      for (int t = 0; t < golden()["lengths"][i].get<int>(); ++t)
        EXPECT_NEAR(outcome.gradient[i][t], expected[t], 1e-5) << method;
    }
    std::map<std::string, double> metrics;
    for (const auto& [name, value] : preference_metrics(outcome.metrics)) {
      metrics[name] = value;
    }
    for (const auto& [name, value] : c["metrics"].items()) {
      ASSERT_TRUE(metrics.contains(name)) << name;
      EXPECT_NEAR(metrics[name], value.get<double>(), 2e-5) << method << " " << name;
    }
  }
}

TEST(PreferenceLoss, PaddingAndTheGradientThereAreNothing) {
  auto in = inputs_of({2, 3});
  auto plain = preference_loss(in, {}, {.num_sequences = 2}).loss.item<float>();
  auto outside = mx::array(1.0f) - in.mask;
  in.logprobs =
      mx::where(mx::equal(outside, mx::array(1.0f)), mx::array(-INFINITY), in.logprobs);
  EXPECT_EQ(preference_loss(in, {}, {.num_sequences = 2}).loss.item<float>(), plain);
}

TEST(PreferenceLoss, RefusesWhatIsNoPairAndAMissingReference) {
  EXPECT_THROW(preference_loss(inputs_of({0, 2}), {}, {}), std::invalid_argument);
  EXPECT_THROW(preference_loss(inputs_of({0, 1, 2}), {}, {}), std::invalid_argument);
  auto in = inputs_of({0, 1});
  in.ref_logprobs.reset();
  EXPECT_THROW(preference_loss(in, {}, {.num_sequences = 2}), std::invalid_argument);
  EXPECT_NO_THROW(
      preference_loss(in, {.type = Preference::simpo}, {.num_sequences = 2}));
  EXPECT_FALSE(preference_of("grpo"));
}

}  // namespace pupil
