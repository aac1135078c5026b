#include "rollout/batch.h"

#include <algorithm>
#include <numeric>

#include "base/random.h"
#include "base/stopwatch.h"
#include "ops/host_values.h"
#include "ops/token_logprobs.h"

namespace pupil {

namespace {

constexpr size_t kPrefillTokens = 2048;  // of the prompts that are run at once, about

SampledTokens chosen(const SampledTokens& all, const std::vector<int>& places) {
  auto index = int_array(places);
  return {mx::take(all.tokens, index, 0), mx::take(all.logprobs, index, 0)};
}

int most_tokens(std::span<const Prompt> prompts, const SamplingConfig& sampling) {
  size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.tokens.size());
  return static_cast<int>(longest) + sampling.max_tokens;
}

}  // namespace

Batch::Batch(
    const Model& model,
    std::span<const Prompt> prompts,
    int n,
    const SamplingConfig& sampling,
    const OnToken& on_token,
    const OnCompletion& on_completion,
    GenerateStats& stats)
    : model_(model),
      prompts_(prompts),
      n_(n),
      sampling_(sampling),
      on_token_(on_token),
      on_completion_(on_completion),
      stats_(stats),
      state_(model.decoder, most_tokens(prompts, sampling)),
      rules_(sampling.rules, model.eos_ids, model.decoder.config.vocab_size) {}

std::deque<Row> Batch::run() {
  Stopwatch watch;
  admit();
  if (sampled_) sampled_->tokens.eval();
  stats_.prefill_s += watch.lap();
  while (!alive_.empty()) step();
  stats_.decode_s += watch.lap();
  return std::move(rows_);
}

void Batch::admit() {
  while (waiting_ < prompts_.size() && has_room()) {
    std::vector<std::vector<int>> tokens;
    auto rows = add_prompts(tokens);
    auto logits = state_.add(tokens, n_);
    rules_.add(tokens, n_);
    join(sample(rows, logits, 0));
  }
  count_memory();
}

// One prompt at least, however large.
bool Batch::has_room() const {
  if (alive_.empty()) return true;
  if (std::ssize(alive_) + n_ > sampling_.max_rows) return false;
  return sampling_.cache_bytes == 0 ||
         most_cache_bytes(waiting_) <= sampling_.cache_bytes;
}

// Keys and values of the batch and of another prompt if every row gets as long as it
// may.
int64_t Batch::most_cache_bytes(size_t next_prompt) const {
  auto own = sampling_.max_tokens + 2 * cpu::kPageTokens;  // the ends of its pages
  int64_t tokens = n_ * own + std::ssize(prompts_[next_prompt].tokens);
  int last = -1;
  for (const auto* row : alive_) {
    tokens += own;
    if (row->prompt() != last) tokens += std::ssize(prompts_[row->prompt()].tokens);
    last = row->prompt();
  }
  return tokens * cache_bytes_per_token(model_.decoder);
}

// The rows of as many prompts as there is room for and may run at once; `tokens` are
// the prompts.
std::vector<Row*> Batch::add_prompts(std::vector<std::vector<int>>& tokens) {
  std::vector<Row*> fresh;
  size_t count = 0;
  do {
    const auto& prompt = prompts_[waiting_];
    tokens.push_back(prompt.tokens);
    count += prompt.tokens.size();
    for (int r = 0; r < n_; ++r) {
      rows_.emplace_back(
          model_,
          sampling_.stop,
          sampling_.rules.min_tokens,
          sampling_.max_tokens,
          prompt.key,
          static_cast<int>(waiting_),
          r);
      fresh.push_back(&rows_.back());
    }
    alive_.insert(alive_.end(), fresh.end() - n_, fresh.end());
    ++waiting_;
  } while (waiting_ < prompts_.size() && has_room() && count < kPrefillTokens);
  return fresh;
}

void Batch::join(const SampledTokens& fresh) {
  if (!sampled_) {
    sampled_ = fresh;
    return;
  }
  sampled_ = {
      mx::concatenate({sampled_->tokens, fresh.tokens}),
      mx::concatenate({sampled_->logprobs, fresh.logprobs})};
}

// The next step is queued before this one's tokens are read.
void Batch::step() {
  auto rows = alive_;
  auto sampled = *sampled_;
  leave_full_rows();
  if (alive_.empty()) {
    sampled_.reset();
  } else {
    auto logits = state_.feed(sampled_->tokens);
    sampled_ = sample(alive_, logits, 1);
  }
  read(rows, sampled);
  drop_finished();
  admit();
}

// Rows that end with the token that is drawn, whatever it is, run no further; those
// that are done leave with them.
void Batch::leave_full_rows() {
  bool any = std::ranges::any_of(alive_, [&](const Row* row) { return is_full(*row); });
  if (any)
    keep(places_of([&](const Row& row) { return !row.done() && !is_full(row); }));
}

bool Batch::is_full(const Row& row) const {
  return !row.done() && row.num_tokens() + 1 >= sampling_.max_tokens;
}

/// Draws the next token of each of the batch's last rows; `pending` of its tokens are
/// drawn and not read.
SampledTokens Batch::sample(
    const std::vector<Row*>& rows, const mx::array& logits, int pending) {
  std::vector<float> uniforms;
  std::vector<int> lengths;
  for (const auto* row : rows) {
    lengths.push_back(row->num_tokens() + pending);
    uniforms.push_back(keyed_uniform(
        {sampling_.seed,
         row->key(),
         static_cast<uint64_t>(row->index()),
         static_cast<uint64_t>(lengths.back())}));
  }
  mx::array u(uniforms.data(), {static_cast<int>(uniforms.size())}, mx::float32);
  auto sampled = draw(logits, u, lengths);
  mx::async_eval({sampled.tokens, sampled.logprobs});
  return sampled;
}

SampledTokens Batch::draw(
    const mx::array& logits,
    const mx::array& uniforms,
    const std::vector<int>& lengths) {
  if (!sampling_.rules.any())
    return sample_tokens(logits, uniforms, sampling_.truncation);
  int first = static_cast<int>(alive_.size() - lengths.size());
  auto ruled = rules_.apply(logits, first, lengths);
  auto tokens = sample_tokens(ruled, uniforms, sampling_.truncation).tokens;
  rules_.count(first, tokens);
  float temperature = sampling_.truncation.temperature;
  return {tokens, logprobs_of(logits, tokens, temperature == 0 ? 1.0f : temperature)};
}

void Batch::read(const std::vector<Row*>& rows, SampledTokens sampled) {
  sampled.tokens.eval();
  sampled.logprobs.eval();
  const int* tokens = sampled.tokens.data<int>();
  const float* logprobs = sampled.logprobs.data<float>();
  count_step(rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    auto& row = *rows[i];
    if (row.done()) continue;
    row.push(tokens[i], logprobs[i]);
    if (on_token_) on_token_(row.prompt(), row.index(), tokens[i], row.done());
    if (!row.done()) continue;
    row.finish();
    if (on_completion_) on_completion_(row.prompt(), row.index(), row.completion());
  }
}

void Batch::count_step(const std::vector<Row*>& rows) {
  auto busy = std::ranges::count_if(rows, [](const Row* row) { return !row->done(); });
  ++stats_.steps;
  stats_.row_steps += busy;
  if (waiting_ == prompts_.size()) return;
  ++stats_.crowded_steps;
  stats_.crowded_row_steps += busy;
}

// Where rows would have to be moved, finished ones leave when an eighth is done or a
// prompt waits for their places.
void Batch::drop_finished() {
  auto going = places_of([](const Row& row) { return !row.done(); });
  size_t done = alive_.size() - going.size();
  bool makes_room = waiting_ < prompts_.size() && done >= static_cast<size_t>(n_);
  bool worth = state_.moves_nothing() || going.empty() || done * 8 >= alive_.size();
  if (done > 0 && (worth || makes_room)) keep(going);
}

std::vector<int> Batch::places_of(const std::function<bool(const Row&)>& chosen) const {
  std::vector<int> places;
  for (size_t i = 0; i < alive_.size(); ++i)
    if (chosen(*alive_[i])) places.push_back(static_cast<int>(i));
  return places;
}

void Batch::keep(const std::vector<int>& places) {
  std::vector<Row*> alive;
  for (int place : places) alive.push_back(alive_[place]);
  alive_ = std::move(alive);
  state_.keep(places);
  rules_.keep(places);
  if (places.empty()) {
    sampled_.reset();
  } else if (sampled_) {
    sampled_ = chosen(*sampled_, places);
  }
}

void Batch::count_memory() {
  int64_t tokens = 0;
  for (const auto* row : alive_)
    tokens += std::ssize(prompts_[row->prompt()].tokens) + sampling_.max_tokens;
  stats_.max_rows = std::max(stats_.max_rows, static_cast<int>(alive_.size()));
  stats_.cache_bytes = std::max(stats_.cache_bytes, state_.cache_bytes());
  stats_.unshared_bytes =
      std::max(stats_.unshared_bytes, cache_bytes_per_token(model_.decoder) * tokens);
}

}  // namespace pupil
