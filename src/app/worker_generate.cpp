#include <algorithm>
#include <cfloat>
#include <climits>
#include <cmath>

#include "app/machine.h"
#include "app/prompt_tokens.h"
#include "app/rollout_worker.h"
#include "app/trl_request.h"
#include "app/worker_ops.h"
#include "base/json.h"
#include "base/stopwatch.h"
#include "config/schema.h"
#include "models/adapters.h"
#include "rollout/generator.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

// What the config says of rollout's `key`: a worker takes what a run samples itself.
Range config_range(std::string_view key) {
  Range found;
  RolloutConfig config;
  auto keep = [&](std::string_view name, auto&, auto, const Limits& limits = {}) {
    if (name == key) found = limits.range;
  };
  RolloutConfig::visit(config, keep);
  return found;
}

uint64_t whole_number(const TrlRequest& request, const char* key) {
  if (!request.has(key)) return 0;
  const auto& value = request.at(key);
  if (!value.is_number_unsigned()) reject_field(key, "a whole number from 0", value);
  return value.get<uint64_t>();
}

std::vector<std::string> stop_strings(const TrlRequest& request) {
  std::vector<std::string> stop;
  if (!request.has("stop")) return stop;
  const auto& list = request.at("stop");
  bool texts = list.is_array() && std::ranges::all_of(list, [](const auto& item) {
                 return item.is_string() && !item.template get<std::string>().empty();
               });
  if (!texts) reject_field("stop", "a list of texts that are not empty", list);
  return list.get<std::vector<std::string>>();
}

std::map<int, float> biases(const TrlRequest& request) {
  std::map<int, float> all;
  if (!request.has("logit_bias")) return all;
  const auto& object = request.at("logit_bias");
  if (!object.is_object())
    reject_field("logit_bias", "an object of numbers by token id", object);
  for (const auto& [token, bias] : object.items()) {
    bool valid = !token.empty() && token.size() < 8 && bias.is_number() &&
                 token.find_first_not_of("0123456789") == std::string::npos &&
                 std::abs(bias.get<double>()) <= 1e9;
    if (!valid) reject_field("logit_bias." + token, "a token id and a number", bias);
    all[std::stoi(token)] = bias.get<float>();
  }
  return all;
}

int whole_within(
    const TrlRequest& request, const char* key, int otherwise, const Range& range) {
  if (!request.has(key)) return otherwise;
  auto least = static_cast<int>(range.min);
  auto most = static_cast<int>(std::min<double>(range.max, INT_MAX));
  const auto& value = request.at(key);
  bool fits = value.is_number_unsigned() && value >= least && value <= most;
  if (fits) return value.get<int>();
  auto limits = std::to_string(least) + " to " + std::to_string(most);
  reject_field(key, "a whole number from " + limits, value);
}

// Compared as the config's are: as float.
float number_within(
    const TrlRequest& request, const char* key, float otherwise, const Range& range) {
  double given = request.number(key, otherwise);
  auto fits = [&](float value) { return value >= range.min && value <= range.max; };
  if (std::abs(given) <= FLT_MAX && fits(static_cast<float>(given)))
    return static_cast<float>(given);
  reject_field(key, expected_text("a number", range, false), request.at(key));
}

// `engine`: how many rows decode together, and in which memory.
SamplingConfig sampling_of(const TrlRequest& request, const SamplingConfig& engine) {
  SamplingConfig sampling;
  auto number = [&](const char* key, float otherwise) {
    return number_within(request, key, otherwise, config_range(key));
  };
  auto whole = [&](const char* key) {
    return whole_within(request, key, 0, config_range(key));
  };
  sampling.truncation = {
      number_within(request, "temperature", 1, kNotNegative),  // 0 is greedy
      whole("top_k"),
      number("top_p", 1),
      number("min_p", 0)};
  sampling.rules = {
      number("repetition_penalty", 1),
      number("presence_penalty", 0),
      number("frequency_penalty", 0),
      biases(request),
      whole("min_tokens")};
  sampling.max_rows = engine.max_rows;
  sampling.cache_bytes = engine.cache_bytes;
  sampling.prefill_chunk = engine.prefill_chunk;
  sampling.max_tokens = whole_within(request, "max_tokens", 256, kAtLeastOne);
  sampling.stop = stop_strings(request);
  sampling.seed = whole_number(request, "seed");
  return sampling;
}

// The key of each of `count` prompts, where they are given one by one.
std::optional<std::vector<uint64_t>> keys_of(const TrlRequest& request, size_t count) {
  if (!request.has("keys")) return std::nullopt;
  const auto& list = request.at("keys");
  bool numbers = list.is_array() && list.size() == count &&
                 std::ranges::all_of(
                     list, [](const auto& key) { return key.is_number_unsigned(); });
  if (!numbers || list.empty() || request.has("key")) {
    reject_field(
        "keys", "instead of key, a whole number from 0 for each of `prompts`", list);
  }
  return list.get<std::vector<uint64_t>>();
}

// What of a request is its one prompt.
nlohmann::json prompt_part(const nlohmann::json& json) {
  auto part = nlohmann::json::object();
  for (const char* key : {"id", "prompt", "messages", "input_ids"})
    if (json.contains(key)) part[key] = json[key];
  return part;
}

// A setting of one prompt of a list would be dropped.
void expect_prompt_only(const nlohmann::json& item) {
  if (!item.is_object()) return;
  auto part = prompt_part(item);
  for (const auto& [key, value] : item.items())
    if (!part.contains(key))
      reject_field("prompts", "no keys but id, prompt, messages, input_ids", key);
}

// One prompt, or a list of them.
std::vector<Prompt> prompts_of(
    const Model& model, const nlohmann::json& json, const TrlRequest& request) {
  size_t count = json.contains("prompts") ? json["prompts"].size() : 0;
  auto keys = keys_of(request, count);
  auto first_key = whole_number(request, "key");
  auto one = [&](const nlohmann::json& item, size_t index) {
    auto line = parse_prompt_line(json_text(item), "request", index);
    return prompt_tokens(model, line, true, keys ? keys->at(index) : first_key + index);
  };
  if (!json.contains("prompts")) return {one(prompt_part(json), 0)};
  const auto& list = json["prompts"];
  if (!list.is_array() || list.empty())
    reject_field("prompts", "a list of prompts", list);
  std::vector<Prompt> prompts;
  for (const auto& item : list) {
    expect_prompt_only(item);
    prompts.push_back(one(item, prompts.size()));
  }
  return prompts;
}

Json completion_json(const Completion& c) {
  return {
      {"text", c.text},
      {"ids", c.tokens},
      {"logprobs", c.logprobs},
      {"finish_reason", c.finish == FinishReason::stop ? "stop" : "length"}};
}

Json group_json(const Prompt& prompt, const std::vector<Completion>& completions) {
  Json list = Json::array();
  for (const auto& c : completions) list.push_back(completion_json(c));
  return {{"prompt_ids", prompt.tokens}, {"completions", list}};
}

Json answer_json(
    const std::vector<Prompt>& prompts,
    const std::vector<std::vector<Completion>>& all,
    bool has_groups) {
  if (!has_groups) return group_json(prompts[0], all[0]);
  Json groups = Json::array();
  for (size_t i = 0; i < all.size(); ++i)
    groups.push_back(group_json(prompts[i], all[i]));
  return {{"groups", groups}};
}

// GRPOConfig's names mean nothing here, some of which mean a field of ours.
void reject_names_of_trl(const nlohmann::json& json) {
  for (const auto& [theirs, ours] :
       {std::pair{"max_completion_length", "max_tokens"}, {"num_generations", "n"}}) {
    if (!json.contains(theirs)) continue;
    throw std::invalid_argument(
        "no such key: '" + std::string(theirs) + "', TRL's name of '" + ours +
        "'; expected '" + ours + "'");
  }
}

TrlRequest generate_request_of(const nlohmann::json& json) {
  reject_names_of_trl(json);
  return TrlRequest(
      json_text(json),
      {"op",
       "id",
       "prompt",
       "messages",
       "input_ids",
       "prompts",
       "n",
       "max_tokens",
       "min_tokens",
       "temperature",
       "top_k",
       "top_p",
       "min_p",
       "stop",
       "seed",
       "repetition_penalty",
       "presence_penalty",
       "frequency_penalty",
       "logit_bias",
       "progress_s",
       "stream",
       "key",
       "keys"},
      MoreKeys::none);
}

Json usage_json(const GenerateStats& stats) {
  return {
      {"prompt_tokens", stats.prompt_tokens},
      {"completion_tokens", stats.new_tokens},
      {"seconds", stats.prefill_s + stats.decode_s},
      {"peak_memory_bytes", peak_memory_bytes()}};
}

// Tells each completion as it ends; without `stream` none before the reply.
OnCompletion stream_of(bool stream, const TellMessage& tell) {
  if (!stream) return {};
  return [tell](int prompt, int row, const Completion& c) {
    Json completion = {{"prompt", prompt}, {"row", row}};
    completion.update(completion_json(c));
    tell({{"completion", completion}});
  };
}

// Tells at most every `seconds` how far the work is, where it has moved; 0: never.
class ProgressTeller {
 public:
  ProgressTeller(double seconds, const TellMessage& tell)
      : seconds_(seconds), tell_(tell) {}

  OnToken on_token() {
    if (seconds_ <= 0) return {};
    return [this](int, int, int, bool last) {
      ++tokens_;
      ended_ += last;
      tell_if_due();
    };
  }

  // Long prompts take their time before the first token.
  OnPrefill on_prefill() {
    if (seconds_ <= 0) return {};
    return [this](int64_t tokens) {
      prompt_tokens_ = tokens;
      tell_if_due();
    };
  }

 private:
  void tell_if_due() {
    if (watch_.seconds() < seconds_) return;
    watch_.lap();
    Json progress = {
        {"prompt_tokens", prompt_tokens_},
        {"tokens", tokens_},
        {"completions", ended_}};
    tell_({{"progress", progress}});
  }

  double seconds_;
  const TellMessage& tell_;
  Stopwatch watch_;
  int64_t prompt_tokens_ = 0, tokens_ = 0, ended_ = 0;
};

}  // namespace

std::string path_of(const nlohmann::json& request) {
  auto it = request.find("path");
  if (it == request.end() || !it->is_string() || it->get<std::string>().empty())
    throw std::invalid_argument("path: expected the path of a directory");
  return it->get<std::string>();
}

WorkerOps GenerateWorker::ops() {
  return {
      {"generate",
       [this](const auto& request, const auto& tell) {
         return generate(request, tell);
       }},
      {"load_adapters",
       [this](const auto& request, const auto&) { return load_adapters(request); }},
      {"fingerprint",
       [this](const auto&, const auto&) { return model_fingerprint(model_.path); }}};
}

Json GenerateWorker::generate(
    const nlohmann::json& json, const TellMessage& tell) const {
  auto request = generate_request_of(json);
  auto prompts = prompts_of(model_, json, request);
  int n = whole_within(request, "n", 1, {1, config_range("num_generations").max});
  ProgressTeller progress(request.number_within("progress_s", 0, 0, 3600), tell);
  bool stream = request.flag("stream", false);
  auto sampling = sampling_of(request, engine_);
  GenerateStats stats;
  auto all = pupil::generate(
      model_,
      prompts,
      n,
      sampling,
      progress.on_token(),
      &stats,
      stream_of(stream, tell),
      progress.on_prefill());
  Json reply = Json::object();
  if (!stream) reply = answer_json(prompts, all, json.contains("prompts"));
  reply["usage"] = usage_json(stats);
  return reply;
}

void GenerateWorker::use_adapter(const std::string& path) {
  auto decoder = plain_;
  pupil::load_adapters(decoder, path);
  model_.decoder = std::move(decoder);
}

Json GenerateWorker::load_adapters(const nlohmann::json& request) {
  auto it = request.find("path");
  if (it != request.end() && it->is_null()) {
    model_.decoder = plain_;
    return {{"adapter", nullptr}};
  }
  use_adapter(path_of(request));
  return {{"adapter", path_of(request)}};
}

}  // namespace pupil
