#include "reward/length_reward.h"

#include <stdexcept>

namespace pupil {

double overlong_punishment(size_t length, const LengthLimits& limits) {
  const auto tokens = static_cast<int64_t>(length);
  const int64_t free = limits.max_tokens - limits.soft_tokens;
  if (tokens <= free) return 0;
  if (tokens > limits.max_tokens) return -1;
  return static_cast<double>(free - tokens) / limits.soft_tokens;
}

RewardFn length_reward(const LengthLimits& limits) {
  if (limits.soft_tokens > limits.max_tokens) {
    throw std::invalid_argument(
        "[config] reward.functions: length: soft_punish_cache is " +
        std::to_string(limits.soft_tokens) + ", expected at most max_completion_len, " +
        std::to_string(limits.max_tokens));
  }
  return [limits](std::span<const Sample> samples) {
    std::vector<Score> scores;
    for (const auto& [task, completion] : samples) {
      const size_t length = completion->tokens.size();
      Score& score = scores.emplace_back();
      if (completion->is_text_only) {
        score.reason = "its tokens are not known";
      } else {
        score.value = overlong_punishment(length, limits);
        score.reason = std::to_string(length) + " tokens";
      }
    }
    return scores;
  };
}

}  // namespace pupil
