#include "rollout/logit_rules.h"

#include <limits>
#include <stdexcept>
#include <string>

namespace pupil {

namespace {

// 1 x [vocab_size], true at `tokens`.
mx::array marks(const std::vector<int>& tokens, int vocab_size) {
  std::vector<uint8_t> marked(vocab_size);
  for (int token : tokens)
    if (token >= 0 && token < vocab_size) marked[token] = 1;
  mx::array row(marked.data(), {1, vocab_size}, mx::uint8);
  return mx::astype(row, mx::bool_);
}

mx::array bias_row(const std::map<int, float>& bias, int vocab_size) {
  std::vector<float> row(vocab_size);
  for (auto [token, value] : bias) row.at(token) = value;
  return mx::array(row.data(), {1, vocab_size}, mx::float32);
}

mx::array rows_from(const mx::array& x, int first, int count) {
  return mx::slice(x, {first, 0}, {first + count, x.shape(1)});
}

}  // namespace

void expect_known_tokens(const LogitRules& rules, int vocab_size) {
  for (auto [token, value] : rules.logit_bias) {
    if (token >= 0 && token < vocab_size) continue;
    throw std::invalid_argument(
        "[generate] logit_bias: token " + std::to_string(token) + ", expected 0 to " +
        std::to_string(vocab_size - 1));
  }
}

RuledLogits::RuledLogits(
    const LogitRules& rules, const std::vector<int>& eos_ids, int vocab_size)
    : rules_(rules),
      vocab_size_(vocab_size),
      bias_(bias_row(rules.logit_bias, vocab_size)),
      is_end_(marks(eos_ids, vocab_size)),
      in_prompt_(mx::zeros({0, vocab_size}, mx::bool_)),
      counts_(mx::zeros({0, vocab_size}, mx::uint16)) {}

void RuledLogits::add(const std::vector<std::vector<int>>& prompts, int n) {
  if (!rules_.counts_tokens()) return;
  std::vector<mx::array> rows = {in_prompt_};
  for (const auto& prompt : prompts)
    rows.push_back(mx::repeat(marks(prompt, vocab_size_), n, 0));
  in_prompt_ = mx::concatenate(rows, 0);
  int fresh = in_prompt_.shape(0) - counts_.shape(0);
  counts_ = mx::concatenate({counts_, mx::zeros({fresh, vocab_size_}, mx::uint16)}, 0);
}

void RuledLogits::keep(const std::vector<int>& rows) {
  if (!rules_.counts_tokens()) return;
  mx::array index(rows.data(), {static_cast<int>(rows.size())}, mx::int32);
  in_prompt_ = mx::take(in_prompt_, index, 0);
  counts_ = mx::take(counts_, index, 0);
}

mx::array RuledLogits::penalized(const mx::array& logits, int first) const {
  auto counts = mx::astype(rows_from(counts_, first, logits.shape(0)), mx::float32);
  auto said = counts > mx::array(0.0f);
  auto seen = said || rows_from(in_prompt_, first, logits.shape(0));
  mx::array by(rules_.repetition_penalty);
  auto repeated = mx::where(logits > mx::array(0.0f), logits / by, logits * by);
  return mx::where(seen, repeated, logits) -
         mx::array(rules_.frequency_penalty) * counts -
         mx::array(rules_.presence_penalty) * mx::astype(said, mx::float32);
}

mx::array RuledLogits::apply(
    const mx::array& logits, int first, const std::vector<int>& lengths) const {
  auto x = mx::astype(logits, mx::float32);
  if (rules_.counts_tokens()) x = penalized(x, first);
  if (!rules_.logit_bias.empty()) x = x + bias_;
  if (rules_.min_tokens == 0) return x;
  mx::array have(lengths.data(), {static_cast<int>(lengths.size()), 1}, mx::int32);
  auto early = mx::less(have, mx::array(rules_.min_tokens));
  mx::array never(-std::numeric_limits<float>::infinity());
  return mx::where(early && is_end_, never, x);
}

void RuledLogits::count(int first, const mx::array& tokens) {
  if (!rules_.counts_tokens()) return;
  int end = first + tokens.shape(0);
  auto drawn = mx::equal(mx::arange(vocab_size_), mx::expand_dims(tokens, 1));
  auto now = rows_from(counts_, first, tokens.shape(0)) + mx::astype(drawn, mx::uint16);
  counts_ =
      mx::slice_update(counts_, now, mx::Shape{first, 0}, mx::Shape{end, vocab_size_});
}

}  // namespace pupil
