#include "rollout/worker_message.h"

#include <cmath>
#include <limits>
#include <string>

#include "base/json.h"
#include "base/json_depth.h"
#include "base/quote.h"
#include "rollout/worker_process.h"

namespace pupil {

namespace {

using nlohmann::json;

constexpr double kProgressSeconds = 0.2;
constexpr size_t kQuoted = 120;       // bytes of a line in a message
constexpr size_t kQuotedError = 400;  // of what the worker says went wrong
// Rounding may lift a log-probability above 0, not by as much as this.
constexpr double kMostLogprob = 1e-3;

[[noreturn]] void reject(const std::string& what, std::string_view line) {
  throw WorkerTrouble(what + ", got " + in_quotes(line, kQuoted));
}

json read_object(std::string_view line) {
  // A list in a list a million times is small on the wire and large in memory.
  if (is_nested_too_deep(line))
    reject(std::string("a message is ") + kNestedTooDeep, line);
  json object;
  try {
    object = parse_json(line, "line");
  } catch (const std::invalid_argument&) {
    reject("expected a line of JSON", line);
  }
  if (!object.is_object()) reject("expected a JSON object", line);
  return object;
}

const json& member(const json& object, const char* key, std::string_view line) {
  auto it = object.find(key);
  if (it == object.end()) reject(std::string("expected '") + key + "'", line);
  return *it;
}

// A whole number from 0 to `most`.
int64_t whole(
    const json& object, const char* key, int64_t most, std::string_view line) {
  const auto& value = member(object, key, line);
  bool fits = value.is_number_unsigned() &&
              value.get<uint64_t>() <= static_cast<uint64_t>(most);
  if (fits) return value.get<int64_t>();
  reject(
      std::string(key) + ": expected a whole number from 0 to " + std::to_string(most),
      line);
}

const json& list(
    const json& object, const char* key, size_t most, std::string_view line) {
  const auto& value = member(object, key, line);
  if (value.is_array() && !value.empty() && value.size() <= most) return value;
  reject(std::string(key) + ": expected a list of 1 to " + std::to_string(most), line);
}

std::vector<int> read_ids(
    const json& object, const AnswerBounds& bounds, std::string_view line) {
  std::vector<int> ids;
  for (const auto& id : list(object, "ids", bounds.max_tokens, line)) {
    bool known = id.is_number_unsigned() &&
                 id.get<uint64_t>() < static_cast<uint64_t>(bounds.vocab_size);
    if (!known) {
      reject(
          "ids: expected token ids below " + std::to_string(bounds.vocab_size) +
              ", one is " + in_quotes(json_text(id)),
          line);
    }
    ids.push_back(id.get<int>());
  }
  return ids;
}

std::vector<float> read_logprobs(
    const json& object, size_t count, std::string_view line) {
  std::vector<float> logprobs;
  constexpr double kLeast = std::numeric_limits<float>::lowest();
  for (const auto& value : list(object, "logprobs", count, line)) {
    double number = value.is_number() ? value.get<double>() : NAN;
    if (!(number >= kLeast && number <= kMostLogprob)) {
      reject(
          "logprobs: expected finite numbers up to 0, one is " +
              in_quotes(json_text(value)),
          line);
    }
    logprobs.push_back(static_cast<float>(number));
  }
  if (logprobs.size() == count) return logprobs;
  reject("logprobs: expected one for each of " + std::to_string(count) + " ids", line);
}

FinishReason read_finish(const json& object, std::string_view line) {
  const auto& value = member(object, "finish_reason", line);
  if (value == "stop") return FinishReason::stop;
  if (value == "length") return FinishReason::length;
  reject("finish_reason: expected stop or length", line);
}

// Only what is about the request. An error may lack the id: of a line that the worker
// could not read.
void expect_id(const json& object, int64_t id, std::string_view line) {
  const auto& got = member(object, "id", line);
  bool is_error = object.contains("error") && got.is_null();
  bool same =
      got.is_number_unsigned() && got.get<uint64_t>() == static_cast<uint64_t>(id);
  if (!same && !is_error)
    reject("expected a message about request " + std::to_string(id), line);
}

[[noreturn]] void tell_error(const json& object, std::string_view line) {
  const auto& error = member(object, "error", line);
  bool whole = error.is_object() && error.contains("type") &&
               error["type"].is_string() && error.contains("message") &&
               error["message"].is_string();
  if (!whole) reject("expected error {type, message}", line);
  auto text = "[rollout] the worker says: " +
              in_quotes(error["message"].get<std::string>(), kQuotedError);
  if (error["type"] == "invalid_request") throw std::invalid_argument(text);
  throw WorkerRefusal(text);
}

bool is_error(const json& object) {
  auto ok = object.find("ok");
  return ok != object.end() && ok->is_boolean() && !ok->get<bool>();
}

json reply_of(json object, std::string_view line) {
  if (is_error(object)) tell_error(object, line);
  if (member(object, "ok", line) != true) reject("expected 'ok' true or false", line);
  return object;
}

WorkerMessage completion_of(
    const json& object, const AnswerBounds& bounds, std::string_view line) {
  WorkerMessage message;
  message.kind = WorkerMessage::Kind::completion;
  auto last_prompt = static_cast<int64_t>(bounds.num_prompts) - 1;
  message.prompt = static_cast<size_t>(whole(object, "prompt", last_prompt, line));
  message.row =
      static_cast<int>(whole(object, "row", bounds.rows_per_prompt - 1, line));
  message.completion.tokens = read_ids(object, bounds, line);
  auto count = message.completion.tokens.size();
  message.completion.logprobs = read_logprobs(object, count, line);
  message.completion.finish = read_finish(object, line);
  return message;
}

WorkerMessage done_of(const json& reply, std::string_view line) {
  WorkerMessage message;
  message.kind = WorkerMessage::Kind::done;
  const auto& usage = member(reply, "usage", line);
  if (!usage.is_object()) reject("expected 'usage' {...}", line);
  if (usage.contains("peak_memory_bytes")) {
    constexpr auto kMost = std::numeric_limits<int64_t>::max();
    message.peak_memory_bytes =
        static_cast<uint64_t>(whole(usage, "peak_memory_bytes", kMost, line));
  }
  return message;
}

// Bounded by what was asked for: tokens of all rows, not of each.
int64_t most_tokens(const AnswerBounds& bounds) {
  return static_cast<int64_t>(bounds.num_prompts) * bounds.rows_per_prompt *
         bounds.max_tokens;
}

WorkerMessage progress_of(
    const json& progress, const AnswerBounds& bounds, std::string_view line) {
  if (!progress.is_object()) reject("expected 'progress' {...}", line);
  WorkerMessage message;
  message.kind = WorkerMessage::Kind::progress;
  message.tokens = whole(progress, "tokens", most_tokens(bounds), line);
  message.prompt_tokens = whole(progress, "prompt_tokens", bounds.prompt_tokens, line);
  return message;
}

}  // namespace

void expect_hello(std::string_view line, const Model& model) {
  auto hello = read_object(line);
  if (is_error(hello)) tell_error(hello, line);
  if (hello.value("op", json()) != "hello") reject("expected a greeting", line);
  const json expected = {
      {"proto", 1},
      {"kind", "generate"},
      {"version", PUPIL_VERSION},
      {"vocab_size", model.decoder.config.vocab_size},
      {"max_positions", model.decoder.config.max_positions},
      {"eos_ids", model.eos_ids}};
  for (const auto& [key, value] : expected.items()) {
    auto got = hello.value(key, json());
    if (got == value) continue;
    throw std::invalid_argument(
        "[rollout] the worker's " + key + ": expected " + json_text(value) + ", got " +
        in_quotes(json_text(got)) +
        "; it is none for this program and model: start the run again (--resume), or "
        "set rollout.backend to in_process");
  }
}

json read_reply(std::string_view line, int64_t id) {
  auto object = read_object(line);
  expect_id(object, id, line);
  return reply_of(std::move(object), line);
}

WorkerMessage read_message(
    std::string_view line, int64_t id, const AnswerBounds& bounds) {
  auto object = read_object(line);
  expect_id(object, id, line);
  if (object.contains("progress")) return progress_of(object["progress"], bounds, line);
  if (object.contains("completion")) {
    const auto& completion = object["completion"];
    if (!completion.is_object()) reject("expected 'completion' {...}", line);
    return completion_of(completion, bounds, line);
  }
  return done_of(reply_of(std::move(object), line), line);
}

nlohmann::ordered_json generate_request(
    std::span<const Prompt> prompts, int n, const SamplingConfig& sampling) {
  nlohmann::ordered_json request = {
      {"prompts", json::array()},
      {"keys", json::array()},
      {"n", n},
      {"max_tokens", sampling.max_tokens},
      {"min_tokens", sampling.rules.min_tokens},
      {"temperature", sampling.truncation.temperature},
      {"top_k", sampling.truncation.top_k},
      {"top_p", sampling.truncation.top_p},
      {"min_p", sampling.truncation.min_p},
      {"repetition_penalty", sampling.rules.repetition_penalty},
      {"presence_penalty", sampling.rules.presence_penalty},
      {"frequency_penalty", sampling.rules.frequency_penalty},
      {"logit_bias", json::object()},
      {"stop", sampling.stop},
      {"seed", sampling.seed},
      {"stream", true},
      {"progress_s", kProgressSeconds}};
  for (const auto& prompt : prompts) {
    request["prompts"].push_back({{"input_ids", prompt.tokens}});
    request["keys"].push_back(prompt.key);
  }
  for (const auto& [token, bias] : sampling.rules.logit_bias)
    request["logit_bias"][std::to_string(token)] = bias;
  return request;
}

}  // namespace pupil
