#include "reward/repetition_reward.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace pupil {

namespace {

// The n-grams are sorted by where they begin, so that none is copied.
size_t count_different(std::span<const int> tokens, size_t n) {
  std::vector<size_t> starts(tokens.size() - n + 1);
  std::iota(starts.begin(), starts.end(), size_t{0});
  const auto gram = [&](size_t start) { return tokens.subspan(start, n); };
  std::sort(starts.begin(), starts.end(), [&](size_t a, size_t b) {
    return std::ranges::lexicographical_compare(gram(a), gram(b));
  });
  const auto last = std::unique(starts.begin(), starts.end(), [&](size_t a, size_t b) {
    return std::ranges::equal(gram(a), gram(b));
  });
  return static_cast<size_t>(last - starts.begin());
}

std::string percent_text(double share) {
  char text[64];
  std::snprintf(text, sizeof text, "%.0f %% of n-grams repeat", 100 * share);
  return text;
}

}  // namespace

double repeated_share(std::span<const int> tokens, int n) {
  const auto size = static_cast<size_t>(n);
  if (tokens.size() < size) return 0;
  const auto all = static_cast<double>(tokens.size() - size + 1);
  return 1 - static_cast<double>(count_different(tokens, size)) / all;
}

RewardFn repetition_reward(int ngram_size, double max_penalty) {
  return [=](std::span<const Sample> samples) {
    std::vector<Score> scores;
    for (const auto& [task, completion] : samples) {
      Score& score = scores.emplace_back();
      if (completion->is_text_only) {
        score.reason = "its tokens are not known";
        continue;
      }
      const double share = repeated_share(completion->tokens, ngram_size);
      // Not -0.0 for an answer without repetitions.
      score.value = share > 0 ? share * max_penalty : 0.0;
      score.reason = percent_text(share);
    }
    return scores;
  };
}

}  // namespace pupil
