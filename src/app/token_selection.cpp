#include "app/token_selection.h"

#include <limits>
#include <vector>

#include "algo/token_choice.h"
#include "ops/host_values.h"

namespace pupil {

namespace {

CovarianceChoice choice_of(const TrlRequest& request, const PolicyLossConfig& config) {
  CovarianceChoice choice;
  choice.share = request.number_within("cov_share", choice.share, 0, 1);
  choice.low = request.number("clip_cov_low", choice.low);
  choice.high = request.number("clip_cov_high", choice.high);
  choice.epsilon = config.epsilon;
  choice.epsilon_high = config.epsilon_high;
  return choice;
}

uint64_t seed_of(const TrlRequest& request) {
  constexpr double kMost = std::numeric_limits<uint32_t>::max();
  return static_cast<uint64_t>(request.number_within("seed", 42, 0, kMost));
}

// The values where the mask is 1, in order.
std::vector<float> of_mask(const mx::array& table, const std::vector<float>& mask) {
  auto all = host_values(table);
  std::vector<float> values;
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 0) values.push_back(all[i]);
  }
  return values;
}

}  // namespace

std::optional<mx::array> selected_tokens(
    const TrlRequest& request,
    const PolicyLossInputs& in,
    const PolicyLossConfig& config) {
  bool clips = config.surrogate == Surrogate::clip_cov;
  if (!clips && config.surrogate != Surrogate::kl_cov) return std::nullopt;
  auto table = host_values(in.mask);
  auto rows = mx::broadcast_to(mx::expand_dims(in.advantages, 1), in.mask.shape());
  auto advantages = of_mask(rows, table), logprobs = of_mask(in.logprobs, table);
  auto log_ratios = of_mask(in.logprobs - in.old_logprobs, table);
  auto choice = choice_of(request, config);
  auto chosen = clips ? choose_clip_cov(
                            advantages, logprobs, log_ratios, choice, seed_of(request))
                      : choose_kl_cov(advantages, logprobs, choice);
  size_t next = 0;
  for (float& value : table) {
    if (value != 0) value = chosen.at(next++);
  }
  return mx::array(table.data(), in.mask.shape(), mx::float32);
}

}  // namespace pupil
