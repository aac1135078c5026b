#include "train/agreement.h"

#include <algorithm>
#include <numeric>

namespace pupil {

namespace {

std::optional<double> score_at(const Rollout& rollout, size_t k) {
  return k < rollout.scores.size() ? rollout.scores[k].value : std::nullopt;
}

int order_of(double x, double y) {
  return (x > y) - (x < y);
}

void add_pair(
    Agreement& sum, const Rollout& x, const Rollout& y, size_t first, size_t second) {
  auto a = score_at(x, first), b = score_at(y, first);
  auto c = score_at(x, second), d = score_at(y, second);
  if (!a || !b || !c || !d || *a == *b) return;
  ++sum.pairs;
  int product = order_of(*a, *b) * order_of(*c, *d);
  sum.same += product > 0 ? 1.0 : product == 0 ? 0.5 : 0.0;
}

}  // namespace

Agreement agreement_of(
    std::span<const RolloutGroup> groups, size_t first, size_t second) {
  Agreement sum;
  for (const auto& group : groups) {
    const auto& rollouts = group.rollouts;
    for (size_t i = 0; i < rollouts.size(); ++i) {
      for (size_t j = i + 1; j < rollouts.size(); ++j)
        add_pair(sum, rollouts[i], rollouts[j], first, second);
    }
  }
  return sum;
}

void add_agreements(
    nlohmann::ordered_json& row,
    std::span<const RolloutGroup> groups,
    const std::vector<std::string>& names) {
  std::vector<size_t> order(names.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_partition(
      order.begin(), order.end(), [&](size_t k) { return names[k] == "tests"; });
  for (size_t i = 0; i < order.size(); ++i) {
    for (size_t j = i + 1; j < order.size(); ++j) {
      auto sum = agreement_of(groups, order[i], order[j]);
      auto key = "agreement/" + names[order[i]] + "/" + names[order[j]];
      row[key] = nullptr;
      if (sum.pairs > 0) row[key] = sum.same / static_cast<double>(sum.pairs);
      row[key + "/pairs"] = sum.pairs;
    }
  }
}

}  // namespace pupil
