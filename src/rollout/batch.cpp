#include "rollout/batch.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "base/random.h"
#include "ops/host_values.h"
#include "ops/token_logprobs.h"

namespace pupil {

namespace {

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
    const BatchEvents& events,
    GenerateStats& stats)
    : model_(model),
      prompts_(prompts),
      n_(n),
      sampling_(sampling),
      max_rows_(rows_at_once(sampling.max_rows)),
      events_(events),
      stats_(stats),
      state_(model.decoder, most_tokens(prompts, sampling)),
      prefill_(model.decoder, sampling.prefill_chunk),
      rules_(sampling.rules, model.eos_ids, model.decoder.config.vocab_size),
      left_(prompts.size(), n) {
  if (model.decoder.kv_bits == 0 || state_.moves_nothing()) return;
  throw std::invalid_argument(
      "[generate] keys and values in 8 bits need the fused decode step, which this "
      "device, model or adapter has not (docs/models.md); set rollout.kv_bits to 0");
}

std::deque<Row> Batch::run() {
  Stopwatch watch;
  do {
    advance();
  } while (!prefill_.empty());
  if (sampled_) sampled_->tokens.eval();
  stats_.prefill_s += watch.lap();
  while (!is_done()) {
    if (!alive_.empty()) step();
    advance();
  }
  stats_.decode_s += watch.lap();
  return std::move(rows_);
}

bool Batch::is_done() const {
  return alive_.empty() && !rows_wait();
}

bool Batch::rows_wait() const {
  return waiting_ < prompts_.size() || !prefill_.empty() || !ready_.empty();
}

// Of prompts that have begun.
int Batch::rows_to_come() const {
  int rows = prefill_.num_prompts() * n_;
  for (const auto& ready : ready_) rows += n_ - ready.joined;
  return rows;
}

// Brings more rows in: one chunk of prompts, beside the step that is queued.
void Batch::advance() {
  begin_prompts();
  run_prompts();
  join_rows();
  count_memory();
}

void Batch::begin_prompts() {
  while (waiting_ < prompts_.size() && has_room())
    prefill_.add(prompts_[waiting_++].tokens);
}

// One prompt at least, however large.
bool Batch::has_room() const {
  int64_t rows = std::ssize(alive_) + rows_to_come();
  return rows == 0 || rows < rows_beside(waiting_ + 1);
}

// How many rows fit the budget beside the keys and values of the first `prompts`
// prompts, each as long as a row may get.
int64_t Batch::rows_beside(size_t prompts) const {
  if (sampling_.cache_bytes == 0) return max_rows_;
  int64_t tokens = sampling_.cache_bytes / cache_bytes_per_token(model_.decoder);
  for (size_t p = 0; p < prompts; ++p)
    if (left_[p] > 0) tokens -= std::ssize(prompts_[p].tokens);
  int64_t own = sampling_.max_tokens + 2 * cpu::kPageTokens;  // the ends of its pages
  return std::clamp<int64_t>(tokens / own, 0, max_rows_);
}

void Batch::run_prompts() {
  int first = static_cast<int>(waiting_) - prefill_.num_prompts();
  for (auto& [cache, logits] : prefill_.run())
    ready_.push_back({first++, 0, state_.hold(cache), logits});
  if (prefill_.num_run() == told_run_) return;
  told_run_ = prefill_.num_run();
  if (events_.on_prefill) events_.on_prefill(told_run_);
}

// As many rows as there are places, one at least in the batch; their first tokens are
// drawn at once.
void Batch::join_rows() {
  auto most = std::max<int64_t>(1, rows_beside(waiting_));
  std::vector<Row*> fresh;
  std::vector<mx::array> logits;
  while (!ready_.empty()) {
    auto& ready = ready_.front();
    int places = static_cast<int>(most - std::ssize(alive_));
    int count = std::min(n_ - ready.joined, places);
    if (count <= 0) break;
    logits.push_back(mx::repeat(ready.logits, count, 0));
    add_rows(ready, count, fresh);
    if (ready.joined == n_) ready_.pop_front();
  }
  if (!fresh.empty()) join(sample(fresh, mx::concatenate(logits, 0), 0));
}

void Batch::add_rows(ReadyPrompt& ready, int count, std::vector<Row*>& fresh) {
  const auto& prompt = prompts_[ready.prompt];
  state_.add(ready.held, count);
  rules_.add({prompt.tokens}, count);
  for (int end = ready.joined + count; ready.joined < end; ++ready.joined) {
    rows_.emplace_back(
        model_,
        sampling_.stop,
        sampling_.rules.min_tokens,
        row_limit(ready.prompt, ready.joined),
        prompt.key,
        ready.prompt,
        ready.joined);
    fresh.push_back(&rows_.back());
    alive_.push_back(fresh.back());
  }
}

int Batch::row_limit(int prompt, int row) const {
  return sampling_.row_limit ? sampling_.row_limit(prompt, row) : sampling_.max_tokens;
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
}

// Rows that end with the token that is drawn, whatever it is, run no further; those
// that are done leave with them.
void Batch::leave_full_rows() {
  bool any = std::ranges::any_of(alive_, [&](const Row* row) { return is_full(*row); });
  if (any)
    keep(places_of([&](const Row& row) { return !row.done() && !is_full(row); }));
}

bool Batch::is_full(const Row& row) const {
  return !row.done() && row.num_tokens() + 1 >= row.max_tokens();
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
  if (stats_.steps > 1)
    stats_.longest_gap_s = std::max(stats_.longest_gap_s, since_step_.seconds());
  since_step_.lap();
  for (size_t i = 0; i < rows.size(); ++i) {
    auto& row = *rows[i];
    if (row.done()) continue;
    row.push(tokens[i], logprobs[i]);
    if (events_.on_token)
      events_.on_token(row.prompt(), row.index(), tokens[i], row.done());
    if (!row.done()) continue;
    row.finish();
    --left_[row.prompt()];
    if (events_.on_completion)
      events_.on_completion(row.prompt(), row.index(), row.completion());
  }
}

void Batch::count_step(const std::vector<Row*>& rows) {
  auto busy = std::ranges::count_if(rows, [](const Row* row) { return !row->done(); });
  ++stats_.steps;
  stats_.row_steps += busy;
  if (!rows_wait()) return;
  ++stats_.crowded_steps;
  stats_.crowded_row_steps += busy;
}

// Where rows would have to be moved, finished ones leave when an eighth is done or a
// prompt's rows wait for their places.
void Batch::drop_finished() {
  auto going = places_of([](const Row& row) { return !row.done(); });
  size_t done = alive_.size() - going.size();
  bool makes_room = rows_wait() && done >= static_cast<size_t>(n_);
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
  stats_.cache_bytes =
      std::max(stats_.cache_bytes, state_.cache_bytes() + prefill_.cache_bytes());
  stats_.copied_bytes =
      std::max(stats_.copied_bytes, state_.copied_bytes() + prefill_.cache_bytes());
  stats_.unshared_bytes =
      std::max(stats_.unshared_bytes, cache_bytes_per_token(model_.decoder) * tokens);
}

}  // namespace pupil
