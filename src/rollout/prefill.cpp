#include "rollout/prefill.h"

#include <algorithm>

namespace pupil {

namespace {

constexpr int kWholePrompts = 2048;  // tokens of prompts that run together uncut, about

void append(std::vector<mx::array>& arrays, const PrefixCache& cache) {
  arrays.insert(arrays.end(), cache.k.begin(), cache.k.end());
  arrays.insert(arrays.end(), cache.v.begin(), cache.v.end());
}

}  // namespace

std::vector<RunPrompt> Prefill::run() {
  if (waiting_.empty()) return {};
  wait();
  auto ended = take_ended(prefill(model_, next_tokens()));
  start(ended);
  return ended;
}

// For the chunk before: no more than one is in memory, and whoever watches is told of
// each.
void Prefill::wait() {
  mx::eval(begun_);
  num_run_ = num_queued_;
}

// Of the first prompts: as many as a chunk holds.
std::vector<NextTokens> Prefill::next_tokens() {
  std::vector<NextTokens> next;
  size_t left = chunk_ > 0 ? chunk_ : kWholePrompts;
  for (auto& prompt : waiting_) {
    if (left == 0) break;
    size_t count = prompt.tokens.size();
    if (chunk_ > 0) count = std::min(count, left);
    next.push_back({prompt.tokens.first(count), &prompt.cache});
    prompt.tokens = prompt.tokens.subspan(count);
    left -= std::min(left, count);
    num_queued_ += static_cast<int64_t>(count);
  }
  return next;
}

// hidden [prompts, D] of the last token that each ran.
std::vector<RunPrompt> Prefill::take_ended(const mx::array& hidden) {
  std::vector<RunPrompt> ended;
  while (!waiting_.empty() && waiting_.front().tokens.empty()) {
    int i = static_cast<int>(ended.size());
    auto last = mx::slice(hidden, {i, 0}, {i + 1, hidden.shape(1)});
    ended.push_back({std::move(waiting_.front().cache), model_.head(last)});
    waiting_.pop_front();
  }
  return ended;
}

void Prefill::start(const std::vector<RunPrompt>& ended) {
  begun_.clear();
  for (const auto& prompt : ended) begun_.push_back(prompt.logits);
  if (!waiting_.empty()) append(begun_, waiting_.front().cache);
  mx::async_eval(begun_);
}

int64_t Prefill::cache_bytes() const {
  int64_t bytes = 0;
  for (const auto& prompt : waiting_)
    bytes += prompt.cache.length() * cache_bytes_per_token(model_);
  return bytes;
}

}  // namespace pupil
