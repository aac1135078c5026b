#include "algo/policy_loss.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

#include "algo/loss_case.h"

namespace pupil {

namespace {

PolicyLossConfig config_of(const LossType& type, Ratio ratio) {
  PolicyLossConfig config;
  config.ratio = ratio;
  config.surrogate = type.surrogate;
  config.aggregate = type.aggregate;
  config.beta = 0.1;
  return config;
}

// Every loss type at every level.
std::vector<std::pair<std::string, PolicyLossConfig>> all_configs() {
  std::vector<std::pair<std::string, PolicyLossConfig>> configs;
  for (const auto& type : kLossTypes) {
    for (auto [ratio, level] :
         {std::pair{Ratio::token, " token"},
          {Ratio::sequence, " sequence"},
          {Ratio::sequence_sum, " sequence_sum"}}) {
      auto name = std::string(type.name) + level;
      configs.emplace_back(name, config_of(type, ratio));
    }
  }
  return configs;
}

// With some tokens selected, for the losses that need it.
PolicyLossInputs any_case(int first = 0, int last = kRows) {
  auto in = loss_case(first, last);
  in.selected = table([](int i, int t) { return (i + t) % 3 == 0; }, first, last);
  return in;
}

double plain_ratio(int i, int t, Ratio over) {
  if (over == Ratio::token) return std::exp(logprob_at(i, t) - old_at(i, t));
  double sum = 0;
  for (int k = 0; k < kLengths[i]; ++k) sum += logprob_at(i, k) - old_at(i, k);
  return std::exp(over == Ratio::sequence ? sum / kLengths[i] : sum);
}

double sequence_sum(int i, const std::function<double(int)>& f) {
  double sum = 0;
  for (int t = 0; t < kLengths[i]; ++t) sum += f(t);
  return sum;
}

double log_ratio_at(int i, int t) {
  return logprob_at(i, t) - old_at(i, t);
}

double plain_phi(int i, const PolicyLossConfig& c) {
  bool positive = kAdvantages[i] >= 0;
  double k = positive ? c.vespo_k_pos : c.vespo_k_neg;
  double lambda = positive ? c.vespo_lambda_pos : c.vespo_lambda_neg;
  double w = std::exp(sequence_sum(i, [&](int t) { return log_ratio_at(i, t); }));
  return std::pow(w, k) * std::exp(lambda * (1 - w));
}

double plain_gmpo(int i, const PolicyLossConfig& c) {
  double sum = sequence_sum(i, [&](int t) {
    double x = log_ratio_at(i, t), y = std::clamp(x, -c.epsilon, c.epsilon_high);
    return kAdvantages[i] > 0 ? std::min(x, y) : std::max(x, y);
  });
  return std::exp(sum / kLengths[i]);
}

// The formulas of surrogates.h, token by token, in plain double arithmetic.
double plain_surrogate(int i, int t, const PolicyLossConfig& c) {
  double r = plain_ratio(i, t, c.ratio), a = kAdvantages[i], logp = logprob_at(i, t);
  double selected = (i + t) % 3 == 0;
  double bounded = std::clamp(r, 1.0 - c.epsilon, 1.0 + c.epsilon_high);
  double tau = a > 0 ? c.sapo_temperature_pos : c.sapo_temperature_neg;
  switch (c.surrogate) {
    case Surrogate::clipped:
      return -std::min(r * a, bounded * a);
    case Surrogate::cispo:
      return -std::min(r, c.epsilon_high) * a * logp;
    case Surrogate::sapo:
      return -a * 4 / tau / (1 + std::exp(-tau * (r - 1)));
    case Surrogate::vespo:
      return -plain_phi(i, c) * a * logp;
    case Surrogate::gmpo:
      return -plain_gmpo(i, c) * a;
    case Surrogate::clip_cov:
      return -std::min(r * a, bounded * a) * (1 - selected);
    case Surrogate::kl_cov:
      return -r * a + c.kl_cov_coef * std::abs(log_ratio_at(i, t)) * selected;
    case Surrogate::likelihood:
      return -a * logp;
  }
  return NAN;
}

double plain_loss(const PolicyLossConfig& c, const StepTotals& totals) {
  double total = 0;
  for (int i = 0; i < kRows; ++i) {
    double sequence = sequence_sum(i, [&](int t) {
      double d = ref_at(i, t) - logprob_at(i, t);
      double kl = (std::exp(d) - d - 1) * plain_ratio(i, t, c.ratio);
      return plain_surrogate(i, t, c) + c.beta * kl;
    });
    double share = c.aggregate == Aggregate::sequence_mean ? 1.0 / kLengths[i] : 1.0;
    total += sequence * share;
  }
  if (c.aggregate == Aggregate::token_mean) return total / totals.num_tokens;
  if (c.aggregate != Aggregate::constant) return total / totals.num_sequences;
  return total / (totals.num_sequences * totals.max_completion_length);
}

float at(const mx::array& a, int i, int t) {
  return mx::slice(a, {i, t}, {i + 1, t + 1}).item<float>();
}

}  // namespace

TEST(PolicyLoss, EveryTypeEqualsItsFormulaInPlainLoops) {
  for (const auto& [name, config] : all_configs()) {
    auto loss = policy_loss(any_case(), config, case_totals()).loss.item<float>();
    EXPECT_NEAR(loss, plain_loss(config, case_totals()), 2e-6) << name;
  }
}

// Of cispo and vespo the weight is held: the loss that moves is weight A log p.
double held_weight(int i, int t, const PolicyLossConfig& c) {
  if (c.surrogate == Surrogate::vespo) return plain_phi(i, c);
  return std::min(plain_ratio(i, t, c.ratio), c.epsilon_high);
}

TEST(PolicyLoss, GradientOfHeldWeightsIsTheirs) {
  for (auto [name, config] : all_configs()) {
    bool held =
        config.surrogate == Surrogate::cispo || config.surrogate == Surrogate::vespo;
    if (!held) continue;
    config.beta = 0;
    auto grad = gradient(any_case(), config, case_totals());
    for (int i = 0; i < kRows; ++i) {
      double expected = -held_weight(i, 0, config) * kAdvantages[i] / 13;
      EXPECT_NEAR(at(grad, i, 0), expected, 1e-6) << name << " row " << i;
    }
  }
}

TEST(PolicyLoss, GradientEqualsFiniteDifferences) {
  constexpr float kStep = 1e-2f;
  for (const auto& [name, config] : all_configs()) {
    if (config.surrogate == Surrogate::cispo) continue;  // a held weight: see above
    if (config.surrogate == Surrogate::vespo) continue;
    auto grad = gradient(any_case(), config, case_totals());
    for (int i = 0; i < kRows; ++i) {
      auto moved = [&, &config = config](float by) {
        auto in = any_case();
        in.logprobs = table([&](int r, int t) {
          return logprob_at(r, t) + (r == i && t == 0 ? by : 0);
        });
        return policy_loss(in, config, case_totals()).loss.item<float>();
      };
      // A kink within the step: |log r| of kl_cov at 0.
      if (config.surrogate == Surrogate::kl_cov && log_ratio_at(i, 0) == 0) continue;
      float slope = (moved(kStep) - moved(-kStep)) / (2 * kStep);
      EXPECT_NEAR(at(grad, i, 0), slope, 2e-4 * std::max(1.0f, std::abs(slope)))
          << name << " row " << i;
    }
  }
}

TEST(PolicyLoss, MicrobatchesAddUpToTheStep) {
  for (const auto& [name, config] : all_configs()) {
    auto whole = policy_loss(any_case(), config, case_totals()).loss.item<float>();
    float sum = 0;
    for (auto [first, last] : {std::pair{0, 1}, {1, 3}, {3, 4}}) {
      auto part = policy_loss(any_case(first, last), config, case_totals());
      sum += part.loss.item<float>();
    }
    EXPECT_NEAR(sum, whole, 2e-6) << name;
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
  EXPECT_THROW(loss_type_of("mean"), std::invalid_argument);
  EXPECT_THROW(ratio_of("word"), std::invalid_argument);
}

}  // namespace pupil
