#include "reward/teacher.h"

#include <algorithm>
#include <stdexcept>

#include "reward/chat_text.h"

namespace pupil {

namespace {

TeacherPrices prices_of(const TeacherConfig& config) {
  bool priced = config.price_per_mtok_in && config.price_per_mtok_out;
  if (config.max_cost_usd > 0 && !priced) {
    throw std::invalid_argument(
        "[teacher.max_cost_usd] a cap needs prices: set teacher.price_per_mtok_in and "
        "teacher.price_per_mtok_out, in USD for a million tokens (0 is a price)");
  }
  return {config.price_per_mtok_in.value_or(0), config.price_per_mtok_out.value_or(0)};
}

ClientOptions client_options(
    const TeacherConfig& config, const TeacherOptions& options) {
  int limit = config.tokens_per_minute;
  if (limit > 0 && limit < config.max_tokens) {
    throw std::invalid_argument(
        "[teacher.tokens_per_minute] " + std::to_string(limit) +
        " is less than one answer may have (teacher.max_tokens: " +
        std::to_string(config.max_tokens) + "); raise it or lower that");
  }
  ClientOptions out;
  out.max_concurrency = config.max_concurrency;
  out.retry = options.retry.value_or(RetryPolicy{.max_retries = config.max_retries});
  out.rate.requests = config.requests_per_minute;
  out.rate.tokens = limit;
  out.max_cost_usd = config.max_cost_usd;
  out.prices = prices_of(config);
  out.max_outage_s = config.max_outage_s;
  out.stop_requested = options.stop_requested;
  out.on_notice = options.on_notice;
  return out;
}

TeacherAnswers make_answers(
    const TeacherConfig& config, const TeacherOptions& options) {
  if (config.provider != "local") {
    auto endpoint = chat_endpoint(config, options.environment);  // a missing key first
    return TeacherAnswers(
        std::move(endpoint),
        client_options(config, options),
        cache_path(config.cache, options.environment));
  }
  if (!options.local) throw std::logic_error("[teacher] no local model was passed in");
  return TeacherAnswers(*options.local, cache_path(config.cache, options.environment));
}

[[noreturn]] void refuse(const ChatEndpoint& endpoint, const ChatReply& reply) {
  std::string key = endpoint.key.empty() ? "no key was sent, see teacher.api_key_env"
                                         : "check the key in " + endpoint.key_env;
  throw TeacherRefused(
      "[teacher] the server accepts no requests: " + reply.error + "; " + key +
      ", teacher.model and teacher.base_url");
}

constexpr const char* kResume = " and resume: what was answered is in the cache";

void stop_if_final(const ChatEndpoint& endpoint, const ChatReply& reply) {
  switch (reply.outcome) {
    case ChatOutcome::out_of_quota:
      throw TeacherOutOfQuota(
          "[teacher] no quota or credit is left: " + reply.error + "; add some" +
          kResume);
    case ChatOutcome::over_budget:
      throw TeacherOverBudget(
          "[teacher.max_cost_usd] the run has spent what it may: " + reply.error +
          "; raise it" + kResume);
    case ChatOutcome::down:
      throw TeacherDown(
          "[teacher] no answer for teacher.max_outage_s: " + reply.error +
          "; wait until it is back" + kResume);
    case ChatOutcome::cancelled:
      throw Stopped("[teacher] stopped while waiting for it: " + reply.error);
    case ChatOutcome::unauthorized:
      refuse(endpoint, reply);
    case ChatOutcome::ok:
    case ChatOutcome::length:
    case ChatOutcome::refused:
    case ChatOutcome::malformed:
    case ChatOutcome::busy:
    case ChatOutcome::unavailable:
    case ChatOutcome::rejected:
      return;
  }
}

void stop_if_failed(const std::vector<ChatReply>& replies) {
  for (const auto& reply : replies) {
    if (reply.error.empty()) continue;
    throw TeacherDown(
        "[teacher] a question has no usable answer: " + reply.error +
        "; teacher.on_failure: unscored leaves its sample unscored; resume goes on");
  }
}

std::optional<std::string> check_text(const ChatReply& reply) {
  bool blank = reply.text.find_first_not_of(" \t\r\n") == std::string::npos;
  return blank ? std::optional<std::string>("the answer is empty") : std::nullopt;
}

WrittenAnswer written(const ChatReply& reply) {
  WrittenAnswer answer;
  bool cut = reply.outcome == ChatOutcome::length;
  if (cut) answer.finish = FinishReason::length;
  if (reply.error.empty() && (cut || reply.outcome == ChatOutcome::ok)) {
    answer.text = reply.text;
  } else {
    answer.reason = "teacher: " + reply.error;
  }
  return answer;
}

// A chat API takes system text apart from the turns.
ChatRequest writing_request(
    const std::vector<Message>& prompt, double temperature, int max_tokens) {
  ChatRequest request;
  request.temperature = temperature;
  request.max_tokens = max_tokens;
  for (const auto& message : prompt) {
    if (message.role == "system") {
      request.system += (request.system.empty() ? "" : "\n\n") + message.content;
    } else {
      request.messages.push_back(message);
    }
  }
  return request;
}

}  // namespace

Teacher::Teacher(const TeacherConfig& config, const TeacherOptions& options)
    : config_(config),
      judging_(
          config,
          [this](std::span<const Question> questions, JudgePurpose purpose) {
            return ask(questions, purpose == JudgePurpose::score);
          }),
      answers_(make_answers(config, options)) {}

std::vector<ChatReply> Teacher::ask(std::span<const Question> questions, bool patient) {
  auto replies = answers_.get(questions, patient);
  for (const auto& reply : replies) stop_if_final(answers_.endpoint(), reply);
  if (patient && config_.on_failure == "stop") stop_if_failed(replies);
  return replies;
}

void Teacher::check() {
  Task task;
  task.prompt =
      "Write a Python function add(a, b) that returns the sum of two numbers.";
  task.entry_point = "add";
  Completion good, bad;  // the second for a judge that compares
  good.text = "```python\ndef add(a, b):\n    return a + b\n```";
  bad.text = "```python\ndef add(a, b):\n    raise NotImplementedError\n```";
  std::vector<Sample> samples = {{&task, &good}};
  if (config_.mode == "pairwise") samples.push_back({&task, &bad});
  Score score = judging_.judge(samples, JudgePurpose::check).front();
  if (!score.value) {
    throw std::runtime_error(
        "[teacher] cannot grade a known program: " + score.reason +
        (config_.mode == "expected"
             ? "; check teacher.model and teacher.min_score_mass"
             : "; check teacher.model, teacher.base_url and teacher.max_tokens"));
  }
}

std::vector<Score> Teacher::judge(std::span<const Sample> samples) {
  return judging_.judge(samples);
}

void Teacher::begin_judging(std::span<const Sample> finished, bool whole) {
  if (!writes() || finished.empty()) return;
  if (!judging_.looks_at_groups()) {
    answers_.begin(judging_.questions_of(finished.last(1)));
  } else if (whole) {
    answers_.begin(judging_.questions_of(finished));
  }
}

std::vector<Comparison> Teacher::compare(std::span<const Sample> samples) {
  return judging_.compare(samples);
}

bool Teacher::writes() const {
  return config_.provider != "local";
}

std::vector<std::vector<WrittenAnswer>> Teacher::write_answers(
    std::span<const std::vector<Message>> prompts,
    int n,
    double temperature,
    int max_tokens) {
  if (!writes()) {
    throw std::invalid_argument(
        "[teacher] a local judge writes no answers; set teacher.provider to a chat "
        "API");
  }
  std::vector<Question> questions;
  for (const auto& prompt : prompts) {
    for (int64_t k = 0; k < n; ++k) {
      questions.push_back(
          {writing_request(prompt, temperature, max_tokens), {"", "", k}, check_text});
    }
  }
  auto replies = ask(questions, true);
  std::vector<std::vector<WrittenAnswer>> out(prompts.size());
  for (size_t i = 0; i < replies.size(); ++i) {
    out[i / static_cast<size_t>(n)].push_back(written(replies[i]));
  }
  return out;
}

void Teacher::keep_ledger(const std::string& path) {
  answers_.keep_ledger(path);
  taken_.spent_usd =
      answers_.stats().spent_usd;  // before a resume: not of the next row
}

const std::string& Teacher::key_variable() const {
  return answers_.endpoint().key_env;
}

TeacherStats Teacher::stats() const {
  TeacherStats stats = answers_.stats();
  stats.local_zeros = judging_.local_zeros();
  return stats;
}

RewardFn teacher_reward(std::shared_ptr<Teacher> teacher) {
  return [teacher = std::move(teacher)](std::span<const Sample> samples) {
    return teacher->judge(samples);
  };
}

}  // namespace pupil
