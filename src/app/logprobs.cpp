// `pupil logprobs`: how likely a model finds given texts, JSON Lines in and out.

#include <cmath>
#include <iostream>
#include <memory>
#include <numeric>

#include "app/commands.h"
#include "app/threads_option.h"
#include "base/json.h"
#include "models/adapters.h"
#include "models/attend.h"
#include "models/model.h"
#include "ops/token_logprobs.h"

namespace pupil {

namespace {

[[noreturn]] void fail(size_t number, const std::string& what) {
  throw std::invalid_argument(
      "[logprobs] line " + std::to_string(number) + ": " + what);
}

std::vector<int> known_ids(
    const Model& model, const nlohmann::json& list, size_t number) {
  std::vector<int> ids;
  int vocab = model.decoder.config.vocab_size;
  for (const auto& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
        id.get<int64_t>() >= vocab) {
      fail(
          number,
          "expected ids from 0 to " + std::to_string(vocab - 1) + ", got " + id.dump());
    }
    ids.push_back(id.get<int>());
  }
  return ids;
}

std::vector<int> read_ids(const Model& model, const std::string& line, size_t number) {
  auto object = parse_json(line, "[logprobs] line " + std::to_string(number));
  if (object.is_object() && object.size() == 1) {
    const auto& value = object.begin().value();
    if (object.contains("text") && value.is_string()) {
      return model.tokenizer.encode(value.get<std::string>());
    }
    if (object.contains("input_ids") && value.is_array()) {
      return known_ids(model, value, number);
    }
  }
  fail(number, "expected {\"input_ids\": [...]} or {\"text\": ...}");
}

std::vector<float> floats_of(const mx::array& x) {
  auto values = mx::contiguous(x);
  values.eval();
  return {values.data<float>(), values.data<float>() + values.size()};
}

// log p of every token after each of `ids` but the last, [T - 1, V].
mx::array next_logprobs(const Decoder& model, const std::vector<int>& ids) {
  int T = static_cast<int>(ids.size()) - 1;
  auto hidden = sequence_hidden(model, mx::array(ids.data(), {1, T}, mx::int32));
  auto logits = model.head(mx::reshape(hidden, {T, model.config.hidden_size}));
  auto x = mx::astype(logits, mx::float32);
  return x - mx::logsumexp(x, -1, true);
}

// KL(plain || rounded) of what may follow, [T - 1] nats.
std::vector<float> divergence(const Decoder& rounded, const std::vector<int>& ids) {
  if (ids.size() < 2) return {};
  auto plain = rounded;
  plain.kv_bits = 0;
  auto p = next_logprobs(plain, ids), q = next_logprobs(rounded, ids);
  return floats_of(mx::sum(mx::exp(p) * (p - q), -1));
}

// log p(token[i + 1] | token[0..i]), [T - 1] nats.
std::vector<float> score(const Decoder& model, const std::vector<int>& ids) {
  int T = static_cast<int>(ids.size());
  if (T < 2) return {};
  mx::array tokens(ids.data(), {1, T}, mx::int32);
  auto hidden = sequence_hidden(model, mx::slice(tokens, {0, 0}, {1, T - 1}));
  auto result = token_logprobs(
      mx::reshape(hidden, {T - 1, model.config.hidden_size}),
      mx::flatten(mx::slice(tokens, {0, 1}, {1, T})),
      [&](const mx::array& x) { return model.head(x); },
      1.0f);
  return floats_of(result.logprobs);
}

nlohmann::ordered_json perplexity(const std::vector<float>& logprobs) {
  if (logprobs.empty()) return nullptr;
  double sum = std::accumulate(logprobs.begin(), logprobs.end(), 0.0);
  return std::exp(-sum / static_cast<double>(logprobs.size()));
}

struct LogprobsOptions {
  std::string model, adapter;
  int kv_bits = 0;
  std::optional<int> threads;
};

void run(const LogprobsOptions& o) {
  use_threads(o.threads);
  auto model = load_model(o.model);
  if (!o.adapter.empty()) load_adapters(model.decoder, o.adapter);
  model.decoder.kv_bits = o.kv_bits;
  std::string line;
  for (size_t number = 1; std::getline(std::cin, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto ids = read_ids(model, line, number);
    if (ids.size() > static_cast<size_t>(model.decoder.config.max_positions)) {
      fail(number, std::to_string(ids.size()) + " tokens exceed the model's positions");
    }
    auto logprobs = score(model.decoder, ids);
    nlohmann::ordered_json reply = {
        {"logprobs", logprobs}, {"perplexity", perplexity(logprobs)}};
    if (o.kv_bits > 0) reply["kl"] = divergence(model.decoder, ids);
    std::cout << reply.dump() << std::endl;
  }
}

}  // namespace

void add_logprobs(CLI::App& app) {
  auto* command = app.add_subcommand(
      "logprobs", "Log-probabilities of given texts: JSON Lines on stdin and stdout");
  auto o = std::make_shared<LogprobsOptions>();
  command->add_option("--model", o->model, "MLX model directory")->required();
  command->add_option("--adapter", o->adapter, "adapter directory (mlx-lm's layout)");
  command
      ->add_option(
          "--kv-bits",
          o->kv_bits,
          "8: with keys and values rounded as an 8-bit cache holds them, and \"kl\", "
          "the "
          "divergence from those without; 0: without")
      ->capture_default_str()
      ->check(CLI::IsMember({0, 8}));
  add_threads_option(*command, o->threads);
  command->footer(
      "{\"input_ids\":[..]} or {\"text\":\"..\"} -> "
      "{\"logprobs\":[..],\"perplexity\"}: "
      "log p(token[i+1] | token[0..i]) in nats");
  command->callback([o] { run(*o); });
}

}  // namespace pupil
