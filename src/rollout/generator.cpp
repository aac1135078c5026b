#include "rollout/generator.h"

#include <algorithm>
#include <stdexcept>

#include "base/random.h"
#include "base/stopwatch.h"
#include "rollout/decode_state.h"
#include "rollout/row.h"

namespace pupil {

namespace {

// One batch of rows from prefill to the last finished row.
class Wave {
 public:
  Wave(
      const Model& model,
      std::span<const Prompt> prompts,
      int n,
      const SamplingConfig& sampling,
      const OnToken& on_token,
      const OnCompletion& on_completion)
      : sampling_(sampling),
        on_token_(on_token),
        on_completion_(on_completion),
        state_(model.decoder, tokens_of(prompts), n, sampling.max_tokens) {
    for (size_t p = 0; p < prompts.size(); ++p) {
      for (int r = 0; r < n; ++r) {
        rows_.emplace_back(
            model, sampling.stop, prompts[p].key, static_cast<int>(p), r);
      }
    }
    for (auto& row : rows_) alive_.push_back(&row);
  }

  std::vector<Row> run(GenerateStats& stats) {
    Stopwatch watch;
    auto sampled = sample(0);
    sampled.tokens.eval();
    stats.prefill_s += watch.lap();
    for (int t = 0; t < sampling_.max_tokens && !alive_.empty(); ++t) {
      auto next = sampled;
      bool more = t + 1 < sampling_.max_tokens;
      if (more) {  // queue the next step before this one's tokens are read
        state_.feed(sampled.tokens);
        next = sample(t + 1);
      }
      take(sampled);
      if (more) drop_finished(next);
      sampled = next;
    }
    stats.decode_s += watch.lap();
    for (auto& row : rows_) {
      if (!row.done()) finish(row);
    }
    return std::move(rows_);
  }

 private:
  static std::vector<std::vector<int>> tokens_of(std::span<const Prompt> prompts) {
    std::vector<std::vector<int>> tokens;
    for (const auto& prompt : prompts) tokens.push_back(prompt.tokens);
    return tokens;
  }

  SampledTokens sample(int position) {
    std::vector<float> uniforms;
    for (const auto* row : alive_) {
      uniforms.push_back(keyed_uniform(
          {sampling_.seed,
           row->key(),
           static_cast<uint64_t>(row->index()),
           static_cast<uint64_t>(position)}));
    }
    mx::array u(uniforms.data(), {static_cast<int>(uniforms.size())}, mx::float32);
    auto sampled = sample_tokens(state_.logits(), u, sampling_.truncation);
    mx::async_eval({sampled.tokens, sampled.logprobs});
    return sampled;
  }

  void take(SampledTokens& sampled) {
    sampled.tokens.eval();
    sampled.logprobs.eval();
    const int* tokens = sampled.tokens.data<int>();
    const float* logprobs = sampled.logprobs.data<float>();
    for (size_t i = 0; i < alive_.size(); ++i) {
      auto& row = *alive_[i];
      if (row.done()) continue;
      row.push(tokens[i], logprobs[i]);
      if (on_token_) on_token_(row.prompt(), row.index(), tokens[i], row.done());
      if (row.done()) finish(row);
    }
  }

  void finish(Row& row) {
    row.finish();
    if (on_completion_) on_completion_(row.prompt(), row.index(), row.completion());
  }

  // Finished rows leave when an eighth of the batch is done: moving the others costs.
  void drop_finished(SampledTokens& next) {
    std::vector<int> kept;
    std::vector<Row*> alive;
    for (size_t i = 0; i < alive_.size(); ++i) {
      if (alive_[i]->done()) continue;
      kept.push_back(static_cast<int>(i));
      alive.push_back(alive_[i]);
    }
    if (!kept.empty() && (alive_.size() - kept.size()) * 8 < alive_.size()) return;
    alive_ = std::move(alive);
    if (kept.empty()) return;
    mx::array index(kept.data(), {static_cast<int>(kept.size())}, mx::int32);
    next = {mx::take(next.tokens, index, 0), mx::take(next.logprobs, index, 0)};
    state_.keep(kept);
  }

  const SamplingConfig& sampling_;
  const OnToken& on_token_;
  const OnCompletion& on_completion_;
  DecodeState state_;
  std::vector<Row> rows_;
  std::vector<Row*> alive_;  // the batch's rows, in order; some may be done
};

void expect_room(const Model& model, const Prompt& prompt, int max_tokens) {
  if (prompt.tokens.empty())
    throw std::invalid_argument("[generate] a prompt is empty");
  auto length = prompt.tokens.size() + static_cast<size_t>(max_tokens);
  auto room = static_cast<size_t>(model.decoder.config.max_positions);
  if (length > room) {
    throw std::invalid_argument(
        "[generate] a prompt of " + std::to_string(prompt.tokens.size()) +
        " tokens and up to " + std::to_string(max_tokens) +
        " new ones exceed the model's " + std::to_string(room) + " positions");
  }
}

void expect_stop_strings(const SamplingConfig& sampling) {
  for (const auto& stop : sampling.stop) {
    if (stop.empty()) throw std::invalid_argument("[generate] a stop string is empty");
  }
}

void count_tokens(
    std::span<const Prompt> prompts,
    const std::vector<std::vector<Completion>>& all,
    GenerateStats& stats) {
  for (const auto& prompt : prompts) stats.prompt_tokens += prompt.tokens.size();
  for (const auto& group : all) {
    for (const auto& completion : group) stats.new_tokens += completion.tokens.size();
  }
}

}  // namespace

std::vector<std::vector<Completion>> generate(
    const Model& model,
    std::span<const Prompt> prompts,
    int n,
    const SamplingConfig& sampling,
    const OnToken& on_token,
    GenerateStats* stats,
    const OnCompletion& on_completion) {
  GenerateStats unused;
  expect_stop_strings(sampling);
  for (const auto& prompt : prompts) expect_room(model, prompt, sampling.max_tokens);
  std::vector<std::vector<Completion>> all(prompts.size());
  size_t per_wave = std::max(1, sampling.max_rows / n);
  for (size_t begin = 0; begin < prompts.size(); begin += per_wave) {
    auto share = prompts.subspan(begin, std::min(per_wave, prompts.size() - begin));
    auto first = static_cast<int>(begin);
    OnToken token_told;
    if (on_token) {
      token_told = [&](int prompt, int row, int token, bool last) {
        on_token(first + prompt, row, token, last);
      };
    }
    OnCompletion end_told;
    if (on_completion) {
      end_told = [&](int prompt, int row, const Completion& completion) {
        on_completion(first + prompt, row, completion);
      };
    }
    Wave wave(model, share, n, sampling, token_told, end_told);
    for (auto& row : wave.run(stats ? *stats : unused)) {
      all[begin + row.prompt()].push_back(row.take());
    }
  }
  if (stats) count_tokens(prompts, all, *stats);
  return all;
}

}  // namespace pupil
