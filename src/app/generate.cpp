// `pupil generate`: completions of prompts, on a terminal as they grow.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "app/commands.h"
#include "app/machine.h"
#include "app/number_option.h"
#include "app/prompt_tokens.h"
#include "app/threads_option.h"
#include "base/error.h"
#include "base/json.h"
#include "models/adapters.h"
#include "rollout/generator.h"

namespace pupil {

namespace {

struct GenerateOptions {
  std::string model, adapter;
  std::optional<std::string> prompt, prompts;
  bool raw = false, json = false;
  int n = 1, kv_bits = 0;
  std::optional<int> threads;
  SamplingConfig sampling;
  std::vector<std::string> biases;  // as text; what they say is in `sampling`

  GenerateOptions() { sampling.truncation.temperature = 0.0f; }
};

void declare_prompts(CLI::App& command, GenerateOptions& o) {
  command.add_option("--model", o.model, "MLX model directory")->required();
  command.add_option("--adapter", o.adapter, "adapter directory (mlx-lm's layout)");
  auto* text = command.add_option("--prompt", o.prompt, "one prompt");
  auto* file = command.add_option(
      "--prompts",
      o.prompts,
      "JSON Lines: {\"prompt\"}, {\"messages\"} or {\"input_ids\"}");
  text->excludes(file);
  command.add_flag("--raw", o.raw, "take text as it is, without the chat template");
}

// "11:-2.5", as a validator that keeps what it read.
CLI::Validator token_bias(std::map<int, float>& biases) {
  auto check = [&biases](std::string& text) {
    auto colon = text.find(':');
    int token = 0;
    float bias = 0;
    bool whole = colon != std::string::npos &&
                 parse_value(text.substr(0, colon), kNotNegative, token) &&
                 parse_value(text.substr(colon + 1), Limits(), bias);
    if (!whole) return "expected TOKEN:BIAS, as in 11:-2.5, got " + in_quotes(text);
    biases[token] = bias;
    return std::string();
  };
  return CLI::Validator(check, "");
}

void declare_rules(CLI::App& command, GenerateOptions& o) {
  auto& rules = o.sampling.rules;
  command.add_option("--repetition-penalty", rules.repetition_penalty, "1: off")
      ->capture_default_str()
      ->check(within<float>(kPositive));
  command.add_option("--presence-penalty", rules.presence_penalty, "0: off")
      ->capture_default_str()
      ->check(within<float>({-100, 100}));
  command.add_option("--frequency-penalty", rules.frequency_penalty, "0: off")
      ->capture_default_str()
      ->check(within<float>({-100, 100}));
  command.add_option("--min-tokens", rules.min_tokens, "no end before so many")
      ->capture_default_str()
      ->check(within<int>(kNotNegative));
  command.add_option("--logit-bias", o.biases, "TOKEN:BIAS, added; may be given again")
      ->allow_extra_args(false)
      ->check(token_bias(rules.logit_bias));
}

void declare_sampling(CLI::App& command, GenerateOptions& o) {
  auto& t = o.sampling.truncation;
  command.add_option("-n", o.n, "completions per prompt")
      ->capture_default_str()
      ->check(within<int>({1, 4096}));
  command.add_option("--max-tokens", o.sampling.max_tokens, "length limit")
      ->capture_default_str()
      ->check(within<int>({1, 1 << 20}));
  command.add_option("--temperature,--temp", t.temperature, "0 is greedy")
      ->capture_default_str()
      ->check(within<float>({0, 100}));
  command.add_option("--top-p", t.top_p, "nucleus sampling; 1: off")
      ->capture_default_str()
      ->check(within<float>({1e-6, 1}));
  command.add_option("--top-k", t.top_k, "the k most likely tokens; 0: all")
      ->capture_default_str()
      ->check(within<int>(kNotNegative));
  command
      .add_option("--min-p", t.min_p, "at least min-p times the most likely; 0: off")
      ->capture_default_str()
      ->check(within<float>(kUnit));
  command.add_option("--seed", o.sampling.seed, "of the sampling")
      ->capture_default_str()
      ->check(within<uint64_t>(kNotNegative));
  command
      .add_option(
          "--stop", o.sampling.stop, "text that ends a completion; may be given again")
      ->allow_extra_args(false)
      ->check([](const std::string& text) {
        return text.empty() ? "expected text that is not empty" : "";
      });
  command
      .add_option(
          "--kv-bits", o.kv_bits, "8: keys and values in 8 bits; 0: as they are")
      ->capture_default_str()
      ->check(CLI::IsMember({0, 8}));
  add_threads_option(command, o.threads);
  command.add_flag("--json", o.json, "one JSON object a completion");
}

std::vector<PromptLine> read_prompts(const GenerateOptions& o) {
  if (o.prompts) return read_prompt_file(*o.prompts);
  if (!o.prompt) throw UsageError("[command line] expected --prompt or --prompts");
  PromptLine line;
  line.id = "0";
  line.text = *o.prompt;
  return {line};
}

// Prints a single completion while it grows. What may be the beginning of a stop string
// waits until the next tokens show what it is.
class Streamer {
 public:
  Streamer(const Model& model, const std::vector<std::string>& stop)
      : model_(model), stop_(stop), decoder_(model.tokenizer) {}

  void operator()(int token) {
    const auto& eos = model_.eos_ids;
    if (std::find(eos.begin(), eos.end(), token) != eos.end()) return;
    text_ += decoder_.push(token);
    show(text_, certain_length());
  }
  void finish(const std::string& text) {
    show(text, text.size());
    std::printf("\n");
  }

 private:
  size_t certain_length() const {
    size_t length = text_.size();
    for (const auto& stop : stop_) {
      length = std::min(length, text_.find(stop));
      for (size_t n = 1; n < stop.size() && n <= text_.size(); ++n) {
        bool begins = text_.ends_with(std::string_view(stop).substr(0, n));
        if (begins) length = std::min(length, text_.size() - n);
      }
    }
    return length;
  }
  void show(const std::string& text, size_t end) {
    if (end <= shown_) return;
    std::fwrite(text.data() + shown_, 1, end - shown_, stdout);
    std::fflush(stdout);
    shown_ = end;
  }

  const Model& model_;
  const std::vector<std::string>& stop_;
  StreamDecoder decoder_;
  std::string text_;
  size_t shown_ = 0;
};

void print_json(
    const PromptLine& line,
    const std::string& prompt,
    size_t row,
    const Completion& c) {
  nlohmann::ordered_json object = {
      {"id", line.id},
      {"row", row},
      {"prompt", prompt},
      {"text", c.text},
      {"ids", c.tokens},
      {"logprobs", c.logprobs},
      {"finish_reason", c.finish == FinishReason::stop ? "stop" : "length"}};
  auto text = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
}

void print_text(const PromptLine& line, size_t row, const Completion& c, bool titled) {
  if (titled) std::printf("=== %s, row %zu\n", line.id.c_str(), row);
  std::printf("%s\n", c.text.c_str());
}

void print_all(
    const GenerateOptions& o,
    const Model& model,
    const std::vector<PromptLine>& lines,
    const std::vector<std::vector<Completion>>& all) {
  bool titled = lines.size() > 1 || o.n > 1;
  for (size_t i = 0; i < lines.size(); ++i) {
    for (size_t row = 0; row < all[i].size(); ++row) {
      if (o.json) {
        print_json(lines[i], prompt_text(model, lines[i]), row, all[i][row]);
      } else {
        print_text(lines[i], row, all[i][row], titled);
      }
    }
  }
}

// A row's first token comes with the prompt, so it says nothing of decoding.
void print_speed(const GenerateStats& s, size_t num_rows) {
  long decoded = s.new_tokens - static_cast<long>(num_rows);
  std::fprintf(
      stderr,
      "[generate] prompt: %ld tokens, %.1f tok/s; completion: %ld tokens",
      s.prompt_tokens,
      static_cast<double>(s.prompt_tokens) / s.prefill_s,
      s.new_tokens);
  if (decoded > 0) {
    std::fprintf(stderr, ", %.1f tok/s", static_cast<double>(decoded) / s.decode_s);
  }
  std::fprintf(stderr, "; peak memory %llu MB\n", peak_memory_bytes() / 1000000ULL);
}

void run(const GenerateOptions& o) {
  use_threads(o.threads);
  auto lines = read_prompts(o);
  auto model = load_model(o.model);
  if (!o.adapter.empty()) load_adapters(model.decoder, o.adapter);
  model.decoder.kv_bits = o.kv_bits;
  std::vector<Prompt> prompts;
  prompts.reserve(lines.size());
  for (const auto& line : lines) {
    prompts.push_back(prompt_tokens(model, line, o.raw, prompts.size()));
  }
  bool stream = !o.json && lines.size() == 1 && o.n == 1 && isatty(STDOUT_FILENO);
  Streamer streamer(model, o.sampling.stop);
  GenerateStats stats;
  OnToken on_token;
  if (stream) on_token = [&](int, int, int token, bool) { streamer(token); };
  auto all = generate(model, prompts, o.n, o.sampling, on_token, &stats);
  if (stream) streamer.finish(all[0][0].text);
  if (!stream) print_all(o, model, lines, all);
  std::fflush(stdout);
  print_speed(stats, lines.size() * static_cast<size_t>(o.n));
}

}  // namespace

void add_generate(CLI::App& app) {
  auto* command = app.add_subcommand("generate", "Complete prompts");
  auto options = std::make_shared<GenerateOptions>();
  declare_prompts(*command, *options);
  declare_sampling(*command, *options);
  declare_rules(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace pupil
