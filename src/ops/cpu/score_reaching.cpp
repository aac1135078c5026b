#include "ops/cpu/score_reaching.h"

#include <algorithm>

namespace pupil::cpu {

namespace {

constexpr int kBuckets = 256;
constexpr size_t kFew = 32;  // no more are sorted

// Buckets of equal width over the scores, in ascending order. Rounding keeps the order,
// so a bucket's scores are neighbours; the first and the last bucket are never empty.
struct Buckets {
  double low, scale;

  int of(float score) const {
    auto bucket = static_cast<int>((static_cast<double>(score) - low) * scale);
    return std::min(bucket, kBuckets - 1);
  }
};

float walk(std::span<Weighted> items, double above, double goal) {
  std::sort(items.begin(), items.end(), [](const Weighted& a, const Weighted& b) {
    return a.score > b.score;
  });
  for (const auto& item : items) {
    above += item.weight;
    if (above >= goal) return item.score;
  }
  return items.back().score;
}

}  // namespace

float score_reaching(std::span<Weighted> items, double goal) {
  double above = 0;  // the weight of all scores above those of `items`
  while (items.size() > kFew) {
    float low = items[0].score, high = low;
    for (const auto& item : items) {
      low = std::min(low, item.score);
      high = std::max(high, item.score);
    }
    if (low == high) return low;
    Buckets buckets{low, kBuckets / (static_cast<double>(high) - low)};
    double weights[kBuckets] = {};
    for (const auto& item : items) weights[buckets.of(item.score)] += item.weight;
    int bucket = kBuckets - 1;
    while (bucket > 0 && above + weights[bucket] < goal) above += weights[bucket--];
    auto rest = std::remove_if(items.begin(), items.end(), [&](const Weighted& item) {
      return buckets.of(item.score) != bucket;
    });
    items = items.first(static_cast<size_t>(rest - items.begin()));
  }
  return walk(items, above, goal);
}

}  // namespace pupil::cpu
