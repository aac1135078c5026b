#include "algo/policy_loss.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>

#include "algo/loss_case.h"
#include "algo/methods.h"

namespace pupil {

namespace {

// A value of TRL 1.16's loss on this case, evaluated by PyTorch in float64.
struct Recorded {
  const char* loss_type;
  const char* level;
  float beta, epsilon, epsilon_high;
  bool bias_correction;
  std::optional<float> delta;
  double loss, grad_abs_sum, grad_00, grad_12, grad_31;
};

const Recorded kRecorded[] = {
    {"grpo",
     "token",
     0,
     .2f,
     .2f,
     true,
     {},
     .017624806,
     .699181854,
     0,
     .075654255,
     .072952317},
    {"bnpo",
     "token",
     0,
     .2f,
     .2f,
     true,
     {},
     -.037565368,
     .778676244,
     0,
     .069834697,
     .089787468},
    {"dr_grpo",
     "token",
     0,
     .2f,
     .2f,
     true,
     {},
     -.015260931,
     .316337224,
     0,
     .028370346,
     .036476159},
    {"dapo",
     "token",
     0,
     .2f,
     .28f,
     true,
     {},
     -.044949983,
     .778676244,
     0,
     .069834697,
     .089787468},
    {"grpo",
     "sequence",
     0,
     .03f,
     .04f,
     true,
     {},
     .009093294,
     .590843294,
     -.06,
     .063614431,
     0},
    {"grpo",
     "token",
     .04f,
     .2f,
     .2f,
     true,
     {},
     .018055791,
     .699730387,
     .000544711,
     .075654255,
     .072952317},
    {"grpo",
     "token",
     .04f,
     .2f,
     .2f,
     false,
     {},
     .018064156,
     .699864552,
     .000378832,
     .075654255,
     .072952317},
    {"dapo",
     "sequence",
     .1f,
     .2f,
     .2f,
     true,
     {},
     -.046723904,
     .936486832,
     -.090750884,
     .058844781,
     .067137656},
    {"grpo", "token", 0, .2f, .2f, true, 1.1f, .014847936, .482245578, 0, 0, 0},
};

PolicyLossConfig config_of(const Recorded& r) {
  return {
      ratio_of(r.level),
      aggregate_of(r.loss_type),
      r.epsilon,
      r.epsilon_high,
      r.delta,
      r.beta,
      r.bias_correction};
}

PolicyLossConfig config_of(const Method& m) {
  return {
      ratio_of(m.importance_sampling_level),
      aggregate_of(m.loss_type),
      static_cast<float>(m.epsilon),
      static_cast<float>(m.epsilon_high),
      {},
      0.1f,
      true};
}

double plain_ratio(int i, int t, Ratio over) {
  if (over == Ratio::token) return std::exp(logprob_at(i, t) - old_at(i, t));
  double sum = 0;
  for (int k = 0; k < kLengths[i]; ++k) sum += logprob_at(i, k) - old_at(i, k);
  return std::exp(sum / kLengths[i]);
}

// The formula of the header in plain loops.
double plain_loss(const PolicyLossConfig& c, const StepTotals& totals) {
  double total = 0;
  for (int i = 0; i < kRows; ++i) {
    double sequence = 0;
    for (int t = 0; t < kLengths[i]; ++t) {
      double r = plain_ratio(i, t, c.ratio), a = kAdvantages[i];
      double clipped = std::clamp(r, 1.0 - c.epsilon, 1.0 + c.epsilon_high);
      double d = ref_at(i, t) - logprob_at(i, t);
      sequence += -std::min(r * a, clipped * a) + c.beta * (std::exp(d) - d - 1) * r;
    }
    double share = c.aggregate == Aggregate::sequence_mean ? 1.0 / kLengths[i] : 1.0;
    total += sequence * share;
  }
  if (c.aggregate == Aggregate::token_mean) return total / totals.num_tokens;
  if (c.aggregate == Aggregate::sequence_mean) return total / totals.num_sequences;
  return total / (totals.num_sequences * totals.max_completion_length);
}

float at(const mx::array& a, int i, int t) {
  return mx::slice(a, {i, t}, {i + 1, t + 1}).item<float>();
}

}  // namespace

TEST(PolicyLoss, EqualsTrlsRecordedValues) {
  for (const auto& r : kRecorded) {
    auto loss =
        policy_loss(loss_case(), config_of(r), case_totals()).loss.item<float>();
    auto grad = gradient(loss_case(), config_of(r), case_totals());
    EXPECT_NEAR(loss, r.loss, 1e-6) << r.loss_type;
    EXPECT_NEAR(mx::sum(mx::abs(grad)).item<float>(), r.grad_abs_sum, 2e-6);
    EXPECT_NEAR(at(grad, 0, 0), r.grad_00, 1e-6);
    EXPECT_NEAR(at(grad, 1, 2), r.grad_12, 1e-6);
    EXPECT_NEAR(at(grad, 3, 1), r.grad_31, 1e-6);
  }
}

TEST(PolicyLoss, EveryMethodEqualsItsFormulaInPlainLoops) {
  for (const auto& method : kMethods) {
    auto config = config_of(method);
    auto loss = policy_loss(loss_case(), config, case_totals()).loss.item<float>();
    EXPECT_NEAR(loss, plain_loss(config, case_totals()), 1e-6) << method.name;
  }
}

TEST(PolicyLoss, GradientEqualsFiniteDifferences) {
  constexpr float kStep = 1e-2f;
  for (const auto& method : kMethods) {
    auto config = config_of(method);
    config.epsilon = config.epsilon_high = 0.2f;  // keeps the kinks out of the step
    auto grad = gradient(loss_case(), config, case_totals());
    for (int i = 0; i < kRows; ++i) {
      auto moved = [&](float by) {
        auto in = loss_case();
        in.logprobs = table([&](int r, int t) {
          return logprob_at(r, t) + (r == i && t == 0 ? by : 0);
        });
        return policy_loss(in, config, case_totals()).loss.item<float>();
      };
      float slope = (moved(kStep) - moved(-kStep)) / (2 * kStep);
      EXPECT_NEAR(at(grad, i, 0), slope, 2e-4) << method.name << " row " << i;
    }
  }
}

TEST(PolicyLoss, MicrobatchesAddUpToTheStep) {
  for (const auto& method : kMethods) {
    auto config = config_of(method);
    auto whole = policy_loss(loss_case(), config, case_totals()).loss.item<float>();
    float sum = 0;
    for (auto [first, last] : {std::pair{0, 1}, {1, 3}, {3, 4}}) {
      auto part = policy_loss(loss_case(first, last), config, case_totals());
      sum += part.loss.item<float>();
    }
    EXPECT_NEAR(sum, whole, 1e-6) << method.name;
  }
}

TEST(PolicyLoss, OnPolicyGradientIsReinforce) {
  auto in = loss_case();
  in.old_logprobs = in.logprobs;
  PolicyLossConfig config;
  config.aggregate = Aggregate::token_mean;
  auto grad = gradient(in, config, case_totals());
  for (int i = 0; i < kRows; ++i) {
    EXPECT_NEAR(at(grad, i, 0), -kAdvantages[i] / 13, 1e-7);
  }
}

TEST(PolicyLoss, PaddingMayHoldInfinities) {
  auto in = loss_case();
  auto padded = mx::equal(in.mask, mx::array(0.0f));
  in.logprobs = mx::where(padded, mx::array(-INFINITY), in.logprobs);
  in.ref_logprobs = mx::where(padded, mx::array(NAN), *in.ref_logprobs);
  PolicyLossConfig config;
  config.beta = 0.1f;
  auto clean = policy_loss(loss_case(), config, case_totals()).loss.item<float>();
  EXPECT_EQ(policy_loss(in, config, case_totals()).loss.item<float>(), clean);
  auto grad = gradient(in, config, case_totals());
  EXPECT_TRUE(mx::all(mx::isfinite(grad)).item<bool>());
}

TEST(PolicyLoss, NamesWhatIsWrong) {
  auto in = loss_case();
  in.old_logprobs = mx::zeros({4, 4});
  EXPECT_THROW(policy_loss(in, {}, case_totals()), std::invalid_argument);
  PolicyLossConfig with_kl;
  with_kl.beta = 0.1f;
  in = loss_case();
  in.ref_logprobs.reset();
  EXPECT_THROW(policy_loss(in, with_kl, case_totals()), std::invalid_argument);
  EXPECT_THROW(aggregate_of("mean"), std::invalid_argument);
  EXPECT_THROW(ratio_of("word"), std::invalid_argument);
}

}  // namespace pupil
