#include "rollout/worker_samples.h"

#include <algorithm>
#include <string>

#include "rollout/row.h"
#include "rollout/worker_process.h"

namespace pupil {

namespace {

std::string name_of(const WorkerMessage& message) {
  return "row " + std::to_string(message.row) + " of prompt " +
         std::to_string(message.prompt);
}

}  // namespace

WorkerSamples::WorkerSamples(
    const Model& model,
    std::span<const Prompt> prompts,
    int n,
    const SamplingConfig& sampling,
    const WorkerEvents& events)
    : model_(model),
      prompts_(prompts),
      n_(n),
      sampling_(sampling),
      events_(events),
      all_(prompts.size() * n),
      told_(all_.size()) {}

AnswerBounds WorkerSamples::bounds() const {
  int64_t prompt_tokens = 0;
  for (const auto& prompt : prompts_) prompt_tokens += std::ssize(prompt.tokens);
  return {
      prompts_.size(),
      n_,
      sampling_.max_tokens,
      model_.decoder.config.vocab_size,
      prompt_tokens};
}

void WorkerSamples::ask_again() {
  told_.assign(told_.size(), false);
  progress_ = prompt_progress_ = 0;
}

void WorkerSamples::add(WorkerMessage message) {
  if (message.kind == WorkerMessage::Kind::progress) return advance(message);
  auto at = place(message.prompt, message.row);
  if (told_[at]) throw WorkerTrouble("told " + name_of(message) + " twice");
  told_[at] = true;
  auto completion = finished(message);
  if (all_[at]) return;  // by the process before: it counts, a judge may have seen it
  all_[at] = std::move(completion);
  auto length = std::ssize(all_[at]->tokens);
  here_ += length;
  tell(here_, sampling_.max_tokens - length);
  if (events_.on_completion)
    events_.on_completion(static_cast<int>(message.prompt), message.row, *all_[at]);
}

// Every message brings something new: one that keeps talking cannot keep us waiting.
void WorkerSamples::advance(const WorkerMessage& message) {
  auto [tokens, prompt_tokens] = std::pair(message.tokens, message.prompt_tokens);
  bool falls = tokens < progress_ || prompt_tokens < prompt_progress_;
  bool rises = tokens > progress_ || prompt_tokens > prompt_progress_;
  if (falls || !rises) {
    throw WorkerTrouble(
        "told progress of " + std::to_string(tokens) + " tokens and " +
        std::to_string(prompt_tokens) + " of prompts after " +
        std::to_string(progress_) + " and " + std::to_string(prompt_progress_));
  }
  progress_ = tokens;
  prompt_progress_ = prompt_tokens;
  tell(tokens, 0);
}

void WorkerSamples::tell(int64_t tokens, int64_t spared) {
  auto more = std::max<int64_t>(0, tokens - told_tokens_);
  told_tokens_ += more;
  if (events_.on_sampled && (more > 0 || spared > 0)) events_.on_sampled(more, spared);
}

// Its tokens once more through the engine's row: that says where it ends, why, and what
// its text is.
Completion WorkerSamples::finished(const WorkerMessage& message) const {
  const auto& given = message.completion;
  Row row(
      model_,
      sampling_.stop,
      sampling_.rules.min_tokens,
      sampling_.max_tokens,
      prompts_[message.prompt].key,
      static_cast<int>(message.prompt),
      message.row);
  for (size_t i = 0; i < given.tokens.size(); ++i) {
    if (row.done())
      throw WorkerTrouble("told tokens behind the end of " + name_of(message));
    row.push(given.tokens[i], given.logprobs[i]);
  }
  bool as_told = row.done() && row.completion().finish == given.finish;
  if (!as_told)
    throw WorkerTrouble(
        "told " + name_of(message) + " as ended where its tokens do not end it");
  row.finish();
  return row.take();
}

void WorkerSamples::expect_whole() const {
  auto missing = std::count(told_.begin(), told_.end(), false);
  if (missing == 0) return;
  throw WorkerTrouble(
      "left out " + std::to_string(missing) + " of " + std::to_string(told_.size()) +
      " completions");
}

std::vector<std::vector<Completion>> WorkerSamples::take() {
  std::vector<std::vector<Completion>> groups(prompts_.size());
  for (size_t i = 0; i < all_.size(); ++i)
    groups[i / n_].push_back(std::move(all_[i].value()));
  return groups;
}

}  // namespace pupil
