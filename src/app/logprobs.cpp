// `pupil logprobs`: how likely a model finds given texts, JSON Lines in and out.

#include <cmath>
#include <iostream>
#include <memory>
#include <numeric>

#include "app/commands.h"
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
  auto values = mx::contiguous(result.logprobs);
  values.eval();
  return {values.data<float>(), values.data<float>() + T - 1};
}

nlohmann::ordered_json perplexity(const std::vector<float>& logprobs) {
  if (logprobs.empty()) return nullptr;
  double sum = std::accumulate(logprobs.begin(), logprobs.end(), 0.0);
  return std::exp(-sum / static_cast<double>(logprobs.size()));
}

void run(const std::string& model_dir, const std::string& adapter_dir) {
  auto model = load_model(model_dir);
  if (!adapter_dir.empty()) load_adapters(model.decoder, adapter_dir);
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
    std::cout << reply.dump() << std::endl;
  }
}

}  // namespace

void add_logprobs(CLI::App& app) {
  auto* command = app.add_subcommand(
      "logprobs", "Log-probabilities of given texts: JSON Lines on stdin and stdout");
  auto model = std::make_shared<std::string>();
  auto adapter = std::make_shared<std::string>();
  command->add_option("--model", *model, "MLX model directory")->required();
  command->add_option("--adapter", *adapter, "adapter directory (mlx-lm's layout)");
  command->footer(
      "{\"input_ids\":[..]} or {\"text\":\"..\"} -> "
      "{\"logprobs\":[..],\"perplexity\"}: "
      "log p(token[i+1] | token[0..i]) in nats");
  command->callback([model, adapter] { run(*model, *adapter); });
}

}  // namespace pupil
