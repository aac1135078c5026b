#include "reward/teacher_answers.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/stopwatch.h"
#include "reward/judge_data.h"
#include "reward/judge_forms.h"

namespace pupil {

namespace {

using Pending = std::shared_future<ChatReply>;
using OnReply = TeacherClient::OnReply;

// Far more than a step's: a bound for callers that never take them.
constexpr size_t kMostLatencies = 100000;

// Calls that wait in the background, a thread each.
constexpr size_t kMostBegun = 256;

/// A question that this call has to ask itself.
struct Claim {
  std::string key;
  const Question* question = nullptr;
  std::promise<ChatReply> promise;
  ChatReply reply;
  bool settled = false;  // good, or not worth another question
};

bool worth_a_fresh_question(ChatOutcome outcome) {
  return outcome == ChatOutcome::refused || outcome == ChatOutcome::malformed ||
         outcome == ChatOutcome::length;
}

bool is_good(const ChatReply& reply) {
  return reply.error.empty() &&
         (reply.outcome == ChatOutcome::ok || reply.outcome == ChatOutcome::length);
}

ChatReply from_cache(const CachedAnswer& answer) {
  ChatReply reply;
  reply.outcome = answer.outcome;
  reply.text = answer.text;
  reply.usage = answer.usage;
  reply.request_id = answer.request_id;
  return reply;
}

// A reply in the terms of its check: a good one has no error, a useless one is
// malformed.
ChatReply checked(ChatReply reply, const Question& question) {
  bool has_text =
      reply.outcome == ChatOutcome::ok || reply.outcome == ChatOutcome::length;
  if (!has_text) return reply;
  if (question.request.top_logprobs > 0) reply.text = reply.logprobs;
  auto trouble = question.check(reply);
  reply.error = trouble.value_or("");
  if (trouble && reply.outcome == ChatOutcome::ok)
    reply.outcome = ChatOutcome::malformed;
  return reply;
}

}  // namespace

std::string summary_of(const TeacherStats& stats) {
  auto count = [](int64_t number) { return std::to_string(number); };
  std::string text = count(stats.calls) + " requests (" + count(stats.retries) +
                     " retries), " + count(stats.cache_hits) +
                     " answers from the cache, " + count(stats.input_tokens) + " + " +
                     count(stats.output_tokens) + " tokens";
  if (stats.failed > 0) text += ", " + count(stats.failed) + " questions failed";
  if (stats.spent_usd <= 0) return text;
  char usd[32];
  std::snprintf(usd, sizeof usd, ", %.4f USD", stats.spent_usd);
  return text + usd;
}

struct TeacherAnswers::State {
  ChatEndpoint endpoint;
  std::unique_ptr<TeacherClient> client;  // none: `local` answers
  LocalModel local;
  std::mutex local_mutex;  // one call of it at a time
  TeacherCache cache;
  mutable std::mutex mutex;  // of all below
  std::unordered_map<std::string, Pending> pending;
  std::unordered_set<std::string> begun;  // asked in the background, not got yet
  std::mutex background_mutex;
  std::vector<std::future<void>> background;
  TeacherStats stats;
  std::vector<double> latencies;

  State(ChatEndpoint endpoint_in, const ClientOptions& options, const std::string& file)
      : endpoint(endpoint_in),
        client(std::make_unique<TeacherClient>(std::move(endpoint_in), options)),
        cache(file) {}
  State(LocalModel model, const std::string& file)
      : local(std::move(model)), cache(file) {
    endpoint.provider = ChatProvider::local;
    endpoint.model = local.identity;
  }

  ~State();

  std::vector<ChatReply> get(
      std::span<const Question> questions, bool patient, bool in_background);
  Pending look_up(
      const Question& question, bool in_background, std::vector<Claim>& claims);
  void ask(std::vector<Claim>& claims, bool patient);
  void ask_once(std::vector<Claim*>& open, bool patient);
  void ask_local(std::span<const ChatRequest> requests, const OnReply& on_reply);
  void settle(Claim& claim, const ChatReply& reply);
  void store(const Claim& claim);
  void release(std::vector<Claim>& claims);
};

/// The client first: its end is what the background waits for.
TeacherAnswers::State::~State() {
  if (client) client->stop();
  background.clear();
}

/// The reply of this question, to come or known. What nobody has asked yet is claimed.
/// What was begun in the background counts once, where it is got.
Pending TeacherAnswers::State::look_up(
    const Question& question, bool in_background, std::vector<Claim>& claims) {
  std::string key = cache_key(endpoint, question.request, question.versions);
  std::lock_guard lock(mutex);
  bool was_begun = !in_background && begun.erase(key) > 0;
  stats.questions += !in_background;
  if (auto found = pending.find(key); found != pending.end()) {
    stats.joined += !in_background && !was_begun;
    return found->second;
  }
  if (auto answer = cache.find(key)) {
    stats.cache_hits += !in_background && !was_begun;
    std::promise<ChatReply> known;
    known.set_value(from_cache(*answer));
    return known.get_future().share();
  }
  if (in_background) begun.insert(key);
  claims.emplace_back();
  claims.back().key = key;
  claims.back().question = &question;
  return pending[key] = claims.back().promise.get_future().share();
}

void TeacherAnswers::State::ask(std::vector<Claim>& claims, bool patient) {
  for (int round = 0; round < 2; ++round) {
    std::vector<Claim*> open;
    for (auto& claim : claims) {
      if (!claim.settled) open.push_back(&claim);
    }
    if (open.empty()) return;
    if (round > 0) {
      std::lock_guard lock(mutex);
      stats.reasks += static_cast<int64_t>(open.size());
    }
    ask_once(open, patient);
  }
}

void TeacherAnswers::State::ask_once(std::vector<Claim*>& open, bool patient) {
  std::vector<ChatRequest> requests;
  requests.reserve(open.size());
  for (const Claim* claim : open) {
    const auto& request = claim->question->request;
    // A local judge's reply has to follow from the question, its mark included.
    requests.push_back(
        client ? with_random_mark(request) : with_fixed_mark(request, local.identity));
  }
  // Stored as it comes, not at the end: a run that is killed keeps what it has.
  auto on_reply = [&](size_t i, const ChatReply& reply) { settle(*open[i], reply); };
  if (client) {
    client->ask(requests, on_reply, patient);
  } else {
    ask_local(requests, on_reply);
  }
}

void TeacherAnswers::State::ask_local(
    std::span<const ChatRequest> requests, const OnReply& on_reply) {
  std::lock_guard lock(local_mutex);
  Stopwatch watch;
  auto digits = local.ask(requests);
  double each_s =
      watch.lap() / static_cast<double>(std::max<size_t>(1, requests.size()));
  for (size_t i = 0; i < requests.size(); ++i) {
    ChatReply reply;
    reply.seconds = each_s;
    reply.error = digits.at(i).error;
    reply.outcome = reply.error.empty() ? ChatOutcome::ok : ChatOutcome::rejected;
    reply.logprobs = digits[i].error.empty() ? digit_text(digits[i].logprobs) : "";
    on_reply(i, reply);
    std::lock_guard counting(mutex);
    stats.input_tokens += digits[i].tokens;
    stats.seconds += each_s;
  }
}

void TeacherAnswers::State::settle(Claim& claim, const ChatReply& reply) {
  claim.reply = checked(reply, *claim.question);
  bool good = is_good(claim.reply);
  // The same model says the same again.
  claim.settled = good || !client || !worth_a_fresh_question(claim.reply.outcome);
  if (good) store(claim);
  std::lock_guard lock(mutex);
  if (latencies.size() < kMostLatencies) latencies.push_back(reply.seconds);
}

/// A cache that is full must not end a run: the answer is used, and the loss is
/// counted.
void TeacherAnswers::State::store(const Claim& claim) {
  const ChatReply& reply = claim.reply;
  try {
    cache.store(
        claim.key,
        endpoint.model,
        {reply.outcome, reply.text, reply.usage, reply.request_id});
  } catch (const std::runtime_error& error) {
    std::lock_guard lock(mutex);
    if (stats.unstored++ == 0) spdlog::warn("{}", error.what());
  }
}

/// Hands the replies to everybody who waits for them.
void TeacherAnswers::State::release(std::vector<Claim>& claims) {
  std::lock_guard lock(mutex);
  for (auto& claim : claims) {
    stats.failed += !is_good(claim.reply);
    claim.promise.set_value(claim.reply);
    pending.erase(claim.key);
  }
}

TeacherAnswers::TeacherAnswers(
    ChatEndpoint endpoint, const ClientOptions& options, const std::string& cache_file)
    : state_(std::make_unique<State>(std::move(endpoint), options, cache_file)) {}

TeacherAnswers::TeacherAnswers(LocalModel model, const std::string& cache_file)
    : state_(std::make_unique<State>(std::move(model), cache_file)) {}

TeacherAnswers::~TeacherAnswers() = default;

std::vector<ChatReply> TeacherAnswers::State::get(
    std::span<const Question> questions, bool patient, bool in_background) {
  std::vector<Claim> claims;
  std::vector<Pending> replies;
  replies.reserve(questions.size());
  try {
    for (const auto& question : questions) {
      replies.push_back(look_up(question, in_background, claims));
    }
    ask(claims, patient);
  } catch (...) {
    release(claims);  // nobody may wait for ever for a claim of this call
    throw;
  }
  release(claims);
  std::vector<ChatReply> out;
  out.reserve(replies.size());
  for (auto& reply : replies) out.push_back(reply.get());
  return out;
}

std::vector<ChatReply> TeacherAnswers::get(
    std::span<const Question> questions, bool patient) {
  return state_->get(questions, patient, false);
}

void TeacherAnswers::begin(std::vector<Question> questions) {
  if (!state_->client || questions.empty()) return;
  std::lock_guard lock(state_->background_mutex);
  auto& running = state_->background;
  std::erase_if(running, [](const std::future<void>& call) {
    return call.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  });
  if (running.size() >= kMostBegun) return;
  running.push_back(std::async(
      std::launch::async, [state = state_.get(), questions = std::move(questions)] {
        try {
          state->get(questions, true, true);
        } catch (const std::exception&) {
          // `get` meets the same trouble, and says so.
        }
      }));
}

void TeacherAnswers::keep_ledger(const std::string& path) {
  if (state_->client) state_->client->keep_ledger(path);
}

const ChatEndpoint& TeacherAnswers::endpoint() const {
  return state_->endpoint;
}

TeacherStats TeacherAnswers::stats() const {
  ClientStats sent;
  if (state_->client) sent = state_->client->stats();
  std::lock_guard lock(state_->mutex);
  TeacherStats out = state_->stats;
  out.calls = sent.calls;
  out.retries = sent.retries;
  out.input_tokens += sent.input_tokens;
  out.output_tokens += sent.output_tokens;
  out.seconds += sent.seconds;
  out.probes = sent.probes;
  out.outages = sent.outages;
  out.spent_usd = sent.spent_usd;
  return out;
}

std::vector<double> TeacherAnswers::take_latencies() {
  std::lock_guard lock(state_->mutex);
  return std::exchange(state_->latencies, {});
}

}  // namespace pupil
