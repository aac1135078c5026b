#include "rollout/row.h"

#include <algorithm>

namespace pupil {

namespace {

// Where the first of the stop strings begins; npos if there is none.
size_t find_stop(
    const std::string& text, const std::vector<std::string>& stop, size_t from = 0) {
  size_t first = std::string::npos;
  for (const auto& s : stop) first = std::min(first, text.find(s, from));
  return first;
}

bool goes_on(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

// Where the text begins that is not of its first tokens, which alone read `free`. They
// may end inside of a character, which alone they cannot show: it is still theirs.
size_t end_of(const std::string& free, const std::string& text) {
  auto [same, _] = std::ranges::mismatch(text, free);
  auto at = static_cast<size_t>(same - text.begin());
  if (at == free.size() || at == text.size()) return at;
  do {
    ++at;
  } while (at < text.size() && goes_on(text[at]));
  return at;
}

}  // namespace

void Row::push(int token, float logprob) {
  completion_.tokens.push_back(token);
  completion_.logprobs.push_back(logprob);
  bool may_stop = num_tokens() >= min_tokens_;
  bool stopped = may_stop && (ends_with_eos() || has_stop_string());
  if (stopped) completion_.finish = FinishReason::stop;
  done_ = stopped || num_tokens() == max_tokens_;
}

bool Row::ends_with_eos() const {
  const auto& eos = model_->eos_ids;
  return !completion_.tokens.empty() &&
         std::find(eos.begin(), eos.end(), completion_.tokens.back()) != eos.end();
}

// Tokens before the one that may end the completion: their text stops nothing.
size_t Row::num_free() const {
  auto free = static_cast<size_t>(std::max(min_tokens_ - 1, 0));
  return std::min(completion_.tokens.size(), free);
}

bool Row::has_stop_string() const {
  if (stop_->empty()) return false;
  // A token is at least a byte of text, so a stop string lies within this many tokens.
  size_t longest = 0;
  for (const auto& s : *stop_) longest = std::max(longest, s.size());
  size_t count = std::min(completion_.tokens.size() - num_free(), longest + 8);
  auto tail = std::span(completion_.tokens).last(count);
  return find_stop(model_->tokenizer.decode(tail), *stop_) != std::string::npos;
}

void Row::finish() {
  std::span<const int> shown = completion_.tokens;
  if (ends_with_eos()) shown = shown.first(shown.size() - 1);
  completion_.text = model_->tokenizer.decode(shown);
  auto free = std::span(completion_.tokens).first(num_free());
  auto from = end_of(model_->tokenizer.decode(free), completion_.text);
  auto end = find_stop(completion_.text, *stop_, from);
  if (end != std::string::npos) completion_.text.resize(end);
}

}  // namespace pupil
