#include "train/memory_plan.h"

#include <algorithm>

#include "models/attend.h"

namespace pupil {

namespace {

// Rows of logits that are held at once: where tokens are drawn, and in a chunk of the
// policy's head.
constexpr int64_t kHeadRows = 128;

// While a block runs back, the gradients to what it kept live with what it kept.
constexpr int64_t kBlocksInFlight = 2;

// Logits of some rows and as much again of what is made of them.
int64_t head_bytes(const Decoder& model, int64_t rows) {
  return 2 * rows * model.config.vocab_size * int64_t{4};
}

int64_t sampling_bytes(const Decoder& model, const StepSizes& sizes) {
  int64_t tokens = int64_t{sizes.decoding_prompts} * sizes.prompt_tokens +
                   int64_t{sizes.decoding_rows} * sizes.new_tokens;
  return tokens * cache_bytes_per_token(model) + head_bytes(model, sizes.decoding_rows);
}

// A prompt with all of its rows, or as much of it as a microbatch takes.
int64_t tokens_of_microbatch(const StepSizes& sizes) {
  int64_t whole = sizes.prompt_tokens + int64_t{sizes.group_rows} * sizes.new_tokens;
  int64_t least = sizes.prompt_tokens + sizes.new_tokens;
  return std::max(least, std::min<int64_t>(whole, sizes.microbatch_tokens));
}

// What one block keeps of the tokens.
int64_t block_bytes(const Decoder& model, int64_t tokens) {
  return tokens * model.kept_bytes_per_token() / model.config.num_layers;
}

int64_t inputs_bytes(const Decoder& model, int64_t tokens) {
  return tokens * model.config.hidden_size * model.config.num_layers *
         static_cast<int64_t>(mx::size_of(model.dtype));
}

}  // namespace

uint64_t MemoryPlan::peak() const {
  if (samples_apart) return 2 * held + sampling + optimizer + activations;
  return held + optimizer + std::max(sampling, activations);
}

MemoryPlan plan_memory(
    const Decoder& model,
    const StepSizes& sizes,
    int64_t update_bytes,
    uint64_t held,
    std::optional<bool> recompute,
    int64_t budget) {
  int64_t tokens = tokens_of_microbatch(sizes);
  int64_t kept = tokens * model.kept_bytes_per_token();
  MemoryPlan plan;
  plan.held = held;
  plan.optimizer = static_cast<uint64_t>(update_bytes);
  plan.sampling = static_cast<uint64_t>(sampling_bytes(model, sizes));
  plan.recomputes = recompute.value_or(kept > budget);
  plan.activations = static_cast<uint64_t>(
      (plan.recomputes ? inputs_bytes(model, tokens) + block_bytes(model, tokens)
                       : kept) +
      kBlocksInFlight * block_bytes(model, tokens) +
      head_bytes(model, std::min(tokens, kHeadRows)));
  return plan;
}

// More tokens at once are better than blocks that run again, if one may choose.
int fitting_microbatch(
    const Decoder& model,
    StepSizes sizes,
    std::optional<bool> recompute,
    int64_t budget) {
  constexpr int kMost = 16384, kLeast = 512;
  sizes.microbatch_tokens = kMost;
  auto activations = [&] {
    auto plan = plan_memory(model, sizes, 0, 0, recompute.value_or(false), budget);
    return static_cast<int64_t>(plan.activations);
  };
  while (sizes.microbatch_tokens > kLeast && activations() > budget) {
    sizes.microbatch_tokens /= 2;
  }
  return sizes.microbatch_tokens;
}

}  // namespace pupil
