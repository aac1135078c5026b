#include "app/bench_work.h"

#include "app/assemble.h"
#include "app/machine.h"
#include "base/stopwatch.h"
#include "models/attend.h"
#include "models/lora.h"
#include "ops/cpu/operation_times.h"
#include "rollout/generator.h"

namespace pupil {

namespace {

constexpr int kDecodePrompt = 64, kDecodeTokens = 64;
constexpr int kStepPrompt = 116, kStepRows = 8, kStepTokens = 64;
constexpr int kSupervisedRows = 8, kSupervisedTokens = 160;

// Any ids will do: the work is the same for all.
std::vector<int> some_ids(int count, int vocab, int first = 0) {
  std::vector<int> ids;
  for (int i = 0; i < count; ++i) ids.push_back((first + i * 7919 + 13) % vocab);
  return ids;
}

SamplingConfig sampling(int max_tokens) {
  SamplingConfig config;
  config.max_tokens = max_tokens;
  return config;
}

void add_rollout(RolloutGroup& group, Completion completion, Source source) {
  auto& rollout = group.rollouts.emplace_back();
  bool is_good = group.rollouts.size() % 2 == 0;
  rollout.completion = std::move(completion);
  rollout.source = source;
  rollout.reward = is_good ? 1.0 : 0.0;
  rollout.advantage = source == Source::teacher ? 1.0 : is_good ? 1.0 : -1.0;
}

}  // namespace

BenchModel::BenchModel(const std::string& model_dir) : model_(load_model(model_dir)) {
  model_.eos_ids.clear();
}

double BenchModel::prefill_s(int tokens) const {
  auto ids = some_ids(tokens, model_.decoder.config.vocab_size);
  std::vector<PrefixCache> caches;
  Stopwatch watch;
  auto logits = model_.decoder.head(prefill(model_.decoder, {ids}, caches));
  logits.eval();
  return watch.seconds();
}

double BenchModel::decode_tok_s(int rows) const {
  Prompt prompt{some_ids(kDecodePrompt, model_.decoder.config.vocab_size)};
  GenerateStats stats;
  generate(model_, {&prompt, 1}, rows, sampling(kDecodeTokens), {}, &stats);
  // A row's first token comes with the prompt.
  return static_cast<double>(stats.new_tokens - rows) / stats.decode_s;
}

void BenchModel::attach() {
  attach_lora(model_.decoder, {}, 0);
  LearnerConfig config;
  config.activation_budget = activation_budget();
  learner_ = std::make_unique<Learner>(model_.decoder, config);
}

StepFigures BenchModel::policy_step() {
  reset_peak_memory();
  RolloutGroup group;
  group.prompt.tokens = some_ids(kStepPrompt, model_.decoder.config.vocab_size);
  Stopwatch watch;
  auto all = generate(model_, {&group.prompt, 1}, kStepRows, sampling(kStepTokens));
  for (auto& completion : all[0]) {
    add_rollout(group, std::move(completion), Source::student);
  }
  return learn(std::move(group), watch.seconds());
}

StepFigures BenchModel::supervised_step() {
  reset_peak_memory();
  RolloutGroup group;
  int vocab = model_.decoder.config.vocab_size;
  group.prompt.tokens = some_ids(1, vocab);
  for (int row = 0; row < kSupervisedRows; ++row) {
    Completion completion;
    completion.tokens = some_ids(kSupervisedTokens - 1, vocab, row);
    completion.logprobs.assign(completion.tokens.size(), NAN);
    add_rollout(group, std::move(completion), Source::teacher);
  }
  return learn(std::move(group), 0);
}

StepFigures BenchModel::learn(RolloutGroup group, double generation_s) {
  BatchConfig config;
  std::vector<RolloutGroup> groups = {std::move(group)};
  Stopwatch watch;
  auto totals = totals_of(groups, config);
  for (auto& batch : pack(groups, config)) learner_->forward_backward(batch, totals);
  learner_->optim_step(1e-6);
  return {generation_s, watch.seconds(), peak_memory_bytes()};
}

TimeParts time_parts(const std::function<void()>& work) {
  cpu::time_operations(true);
  Stopwatch watch;
  work();
  TimeParts parts{cpu::operation_seconds(), watch.seconds()};
  cpu::time_operations(false);
  return parts;
}

}  // namespace pupil
