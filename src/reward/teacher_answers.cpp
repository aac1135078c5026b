#include "reward/teacher_answers.h"

#include <spdlog/spdlog.h>

#include <cstdio>
#include <future>
#include <mutex>
#include <unordered_map>

namespace pupil {

namespace {

using Pending = std::shared_future<ChatReply>;

/// A question that this call has to ask itself.
struct Claim {
  std::string key;
  ChatRequest request;
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

// A reply in the terms of `check`: a good one has no error, a useless one is malformed.
ChatReply checked(ChatReply reply, const ReplyCheck& check) {
  bool has_text =
      reply.outcome == ChatOutcome::ok || reply.outcome == ChatOutcome::length;
  if (!has_text) return reply;
  auto trouble = check(reply);
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
  TeacherClient client;
  TeacherCache cache;
  mutable std::mutex mutex;  // of all below
  std::unordered_map<std::string, Pending> pending;
  TeacherStats stats;

  State(ChatEndpoint endpoint, const ClientOptions& options, const std::string& file)
      : client(std::move(endpoint), options), cache(file) {}

  Pending look_up(const Question& question, std::vector<Claim>& claims);
  void ask(std::vector<Claim>& claims, const ReplyCheck& check, bool patient);
  void ask_once(std::vector<Claim*>& open, const ReplyCheck& check, bool patient);
  void store(const Claim& claim);
  void release(std::vector<Claim>& claims);
};

/// The reply of this question, to come or known. What nobody has asked yet is claimed.
Pending TeacherAnswers::State::look_up(
    const Question& question, std::vector<Claim>& claims) {
  std::string key = cache_key(client.endpoint(), question.request, question.versions);
  std::lock_guard lock(mutex);
  ++stats.questions;
  if (auto found = pending.find(key); found != pending.end()) {
    ++stats.joined;
    return found->second;
  }
  if (auto answer = cache.find(key)) {
    ++stats.cache_hits;
    std::promise<ChatReply> known;
    known.set_value(from_cache(*answer));
    return known.get_future().share();
  }
  claims.emplace_back();
  claims.back().key = key;
  claims.back().request = question.request;
  return pending[key] = claims.back().promise.get_future().share();
}

void TeacherAnswers::State::ask(
    std::vector<Claim>& claims, const ReplyCheck& check, bool patient) {
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
    ask_once(open, check, patient);
  }
}

void TeacherAnswers::State::ask_once(
    std::vector<Claim*>& open, const ReplyCheck& check, bool patient) {
  std::vector<ChatRequest> requests;
  requests.reserve(open.size());
  for (const Claim* claim : open) requests.push_back(claim->request);
  // Stored as it comes, not at the end: a run that is killed keeps what it has.
  auto take = [&](size_t i, const ChatReply& reply) {
    Claim& claim = *open[i];
    claim.reply = checked(reply, check);
    bool good = is_good(claim.reply);
    claim.settled = good || !worth_a_fresh_question(claim.reply.outcome);
    if (good) store(claim);
  };
  client.ask(requests, take, patient);
}

/// A cache that is full must not end a run: the answer is used, and the loss is
/// counted.
void TeacherAnswers::State::store(const Claim& claim) {
  const ChatReply& reply = claim.reply;
  try {
    cache.store(
        claim.key,
        client.endpoint().model,
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

TeacherAnswers::~TeacherAnswers() = default;

std::vector<ChatReply> TeacherAnswers::get(
    std::span<const Question> questions, const ReplyCheck& check, bool patient) {
  std::vector<Claim> claims;
  std::vector<Pending> replies;
  replies.reserve(questions.size());
  try {
    for (const auto& question : questions) {
      replies.push_back(state_->look_up(question, claims));
    }
    state_->ask(claims, check, patient);
  } catch (...) {
    state_->release(claims);  // nobody may wait for ever for a claim of this call
    throw;
  }
  state_->release(claims);
  std::vector<ChatReply> out;
  out.reserve(replies.size());
  for (auto& reply : replies) out.push_back(reply.get());
  return out;
}

void TeacherAnswers::keep_ledger(const std::string& path) {
  state_->client.keep_ledger(path);
}

const ChatEndpoint& TeacherAnswers::endpoint() const {
  return state_->client.endpoint();
}

TeacherStats TeacherAnswers::stats() const {
  ClientStats sent = state_->client.stats();
  std::lock_guard lock(state_->mutex);
  TeacherStats out = state_->stats;
  out.calls = sent.calls;
  out.retries = sent.retries;
  out.input_tokens = sent.input_tokens;
  out.output_tokens = sent.output_tokens;
  out.seconds = sent.seconds;
  out.probes = sent.probes;
  out.outages = sent.outages;
  out.spent_usd = sent.spent_usd;
  return out;
}

}  // namespace pupil
