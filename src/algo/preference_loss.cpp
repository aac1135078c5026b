#include "algo/preference_loss.h"

#include <stdexcept>

#include "ops/host_values.h"

namespace pupil {

namespace {

mx::array number(double value) {
  return mx::array(static_cast<float>(value));
}

mx::array log_sigmoid(const mx::array& x) {
  return -mx::logaddexp(number(0), -x);
}

// 1 for the good ones, -1 for the others. [N]
mx::array signs_of(const mx::array& advantages) {
  return mx::where(mx::greater(advantages, number(0)), number(1), number(-1));
}

void check(const PreferenceInputs& in, const PreferenceConfig& c) {
  if (c.needs_reference() && !in.ref_logprobs) {
    throw std::invalid_argument("[preference_loss] ref_logprobs are missing");
  }
  if (!c.has_pairs()) return;
  bool pair =
      in.mask.shape(0) == 2 && mx::sum(signs_of(in.advantages)).item<float>() == 0;
  if (!pair) {
    throw std::invalid_argument(
        "[preference_loss] expected one good and one bad completion");
  }
}

// [N]
mx::array scores_of(const PreferenceInputs& in, const PreferenceConfig& c) {
  auto logprobs = c.needs_reference() ? in.logprobs - *in.ref_logprobs : in.logprobs;
  auto sums = mx::sum(masked(logprobs, in.mask), 1);
  if (c.needs_reference()) return sums;
  return sums / mx::squeeze(token_counts(in.mask), 1);
}

mx::array pair_loss(
    const PreferenceInputs& in, const mx::array& scores, const PreferenceConfig& c) {
  auto signs = signs_of(in.advantages);
  if (c.type == Preference::ipo) {
    auto means = scores / mx::squeeze(token_counts(in.mask), 1);
    return mx::square(mx::sum(signs * means) - number(1 / (2 * c.beta)));
  }
  double gamma = c.type == Preference::simpo ? c.simpo_gamma / c.beta : 0;
  auto logit = number(c.beta) * (mx::sum(signs * scores) - number(gamma));
  return -(
      number(1 - c.label_smoothing) * log_sigmoid(logit) +
      number(c.label_smoothing) * log_sigmoid(-logit));
}

mx::array kto_loss(
    const PreferenceInputs& in,
    const mx::array& scores,
    const PreferenceConfig& c,
    double kl_baseline) {
  auto signs = signs_of(in.advantages);
  auto value = mx::sigmoid(number(c.beta) * signs * (scores - number(kl_baseline)));
  auto weights = mx::where(
      mx::greater(signs, number(0)),
      number(c.desirable_weight),
      number(c.undesirable_weight));
  return mx::sum(weights * (number(1) - value));
}

}  // namespace

std::optional<Preference> preference_of(std::string_view method) {
  if (method == "dpo" || method == "online_dpo") return Preference::dpo;
  if (method == "ipo") return Preference::ipo;
  if (method == "simpo") return Preference::simpo;
  if (method == "kto") return Preference::kto;
  return std::nullopt;
}

PreferenceLoss preference_loss(
    const PreferenceInputs& in,
    const PreferenceConfig& config,
    const StepTotals& totals) {
  check(in, config);
  auto scores = scores_of(in, config);
  auto rewards = mx::stop_gradient(number(config.beta) * scores);
  if (config.has_pairs()) {
    auto loss = pair_loss(in, scores, config);
    return {loss * number(2 / totals.num_sequences), rewards};
  }
  auto loss = kto_loss(in, scores, config, totals.kl_baseline);
  return {loss * number(1 / totals.num_sequences), rewards};
}

PreferenceMetrics& PreferenceMetrics::operator+=(const PreferenceMetrics& other) {
  good += other.good;
  bad += other.bad;
  good_rewards += other.good_rewards;
  bad_rewards += other.bad_rewards;
  good_logps += other.good_logps;
  bad_logps += other.bad_logps;
  pairs += other.pairs;
  accurate += other.accurate;
  return *this;
}

PreferenceMetrics measure_preference(
    const PreferenceInputs& in, const PreferenceLoss& loss, bool has_pairs) {
  auto rewards = host_values(loss.rewards), signs = host_values(in.advantages);
  auto logps = host_values(mx::sum(masked(in.logprobs, in.mask), 1));
  PreferenceMetrics m;
  for (size_t i = 0; i < rewards.size(); ++i) {
    bool good = signs[i] > 0;
    (good ? m.good : m.bad) += 1;
    (good ? m.good_rewards : m.bad_rewards) += rewards[i];
    (good ? m.good_logps : m.bad_logps) += logps[i];
  }
  if (has_pairs) {
    m.pairs = 1;
    m.accurate = m.good_rewards > m.bad_rewards;
  }
  return m;
}

std::vector<std::pair<std::string, double>> preference_metrics(
    const PreferenceMetrics& m) {
  std::vector<std::pair<std::string, double>> values;
  if (m.good > 0) {
    values.emplace_back("rewards/chosen", m.good_rewards / m.good);
    values.emplace_back("logps/chosen", m.good_logps / m.good);
  }
  if (m.bad > 0) {
    values.emplace_back("rewards/rejected", m.bad_rewards / m.bad);
    values.emplace_back("logps/rejected", m.bad_logps / m.bad);
  }
  if (m.good > 0 && m.bad > 0) {
    double margin = m.good_rewards / m.good - m.bad_rewards / m.bad;
    values.emplace_back("rewards/margins", margin);
  }
  if (m.pairs > 0) values.emplace_back("rewards/accuracies", m.accurate / m.pairs);
  return values;
}

}  // namespace pupil
