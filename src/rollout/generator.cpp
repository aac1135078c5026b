#include "rollout/generator.h"

#include <stdexcept>

#include "mlx/device.h"
#include "rollout/batch.h"

namespace pupil {

namespace {

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

int rows_at_once(std::optional<int> max_rows) {
  return max_rows.value_or(mx::default_device() == mx::Device::gpu ? 64 : 32);
}

std::vector<std::vector<Completion>> generate(
    const Model& model,
    std::span<const Prompt> prompts,
    int n,
    const SamplingConfig& sampling,
    const OnToken& on_token,
    GenerateStats* stats,
    const OnCompletion& on_completion,
    const OnPrefill& on_prefill) {
  GenerateStats unused;
  expect_stop_strings(sampling);
  expect_known_tokens(sampling.rules, model.decoder.config.vocab_size);
  for (const auto& prompt : prompts) expect_room(model, prompt, sampling.max_tokens);
  std::vector<std::vector<Completion>> all(prompts.size());
  Batch batch(
      model,
      prompts,
      n,
      sampling,
      {on_token, on_completion, on_prefill},
      stats ? *stats : unused);
  for (auto& row : batch.run()) all[row.prompt()].push_back(row.take());
  if (stats) count_tokens(prompts, all, *stats);
  return all;
}

}  // namespace pupil
