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

std::vector<RolloutGroup> each_alone(const RolloutGroup& group) {
  std::vector<RolloutGroup> groups;
  for (const auto& rollout : group.rollouts) {
    groups.push_back({group.prompt, group.task, {rollout}});
  }
  return groups;
}

}  // namespace

BenchModel::BenchModel(const std::string& model_dir) : model_(load_model(model_dir)) {
  model_.eos_ids.clear();
}

double BenchModel::prefill_s(int tokens) const {
  auto ids = some_ids(tokens, model_.decoder.config.vocab_size);
  PrefixCache cache;
  Stopwatch watch;
  auto logits = model_.decoder.head(prefill(model_.decoder, {{ids, &cache}}));
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

ContextSpeed BenchModel::context_speed(int batch, int context) const {
  std::vector<Prompt> prompts;
  for (int i = 0; i < batch; ++i)
    prompts.push_back({some_ids(context, model_.decoder.config.vocab_size, i)});
  GenerateStats stats;
  generate(model_, prompts, 1, sampling(kContextNewTokens), {}, &stats);
  return {
      static_cast<double>(stats.prompt_tokens) / stats.prefill_s,
      static_cast<double>(stats.new_tokens - batch) / stats.decode_s};
}

int BenchModel::max_positions() const {
  return model_.decoder.config.max_positions;
}

void BenchModel::attach(std::optional<bool> recompute) {
  attach_lora(model_.decoder, {}, 0);
  LearnerConfig config;
  config.activation_budget = activation_budget();
  config.gradient_checkpointing = recompute_ = recompute;
  learner_ = std::make_unique<Learner>(model_.decoder, config);
}

StepFigures BenchModel::policy_step(const PolicyWork& work) {
  reset_peak_memory();
  RolloutGroup group;
  group.prompt.tokens = some_ids(work.prompt_tokens, model_.decoder.config.vocab_size);
  Stopwatch watch;
  auto all = generate(model_, {&group.prompt, 1}, work.rows, sampling(work.new_tokens));
  for (auto& completion : all[0]) {
    add_rollout(group, std::move(completion), Source::student);
  }
  double generation_s = watch.seconds();
  return learn(
      work.unshared ? each_alone(group) : std::vector{std::move(group)}, generation_s);
}

MemoryPlan BenchModel::plan(const PolicyWork& work) const {
  StepSizes sizes{
      .decoding_rows = work.rows,
      .decoding_prompts = 1,
      .group_rows = work.unshared ? 1 : work.rows,
      .prompt_tokens = work.prompt_tokens,
      .new_tokens = work.new_tokens,
      .microbatch_tokens = BatchConfig().max_tokens};
  return plan_memory(
      model_.decoder,
      sizes,
      learner_->update_bytes(),
      held_memory_bytes(),
      recompute_,
      activation_budget());
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
  return learn({std::move(group)}, 0);
}

StepFigures BenchModel::learn(std::vector<RolloutGroup> groups, double generation_s) {
  BatchConfig config;
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
