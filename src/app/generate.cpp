// `pupil generate`: completions of prompts, on a terminal as they grow.

#include <unistd.h>

#include <cstdio>
#include <memory>

#include "app/commands.h"
#include "app/prompt_tokens.h"
#include "base/error.h"
#include "base/json.h"
#include "models/adapters.h"
#include "rollout/generator.h"

namespace pupil {

namespace {

struct GenerateOptions {
  std::string model, adapter, prompt, prompts;
  bool raw = false, json = false;
  int n = 1;
  SamplingConfig sampling;

  GenerateOptions() { sampling.truncation.temperature = 0.0f; }
};

void declare(CLI::App& command, GenerateOptions& o) {
  auto& t = o.sampling.truncation;
  command.add_option("--model", o.model, "MLX model directory")->required();
  command.add_option("--adapter", o.adapter, "adapter directory (mlx-lm's layout)");
  auto* text = command.add_option("--prompt", o.prompt, "one prompt");
  auto* file = command.add_option(
      "--prompts",
      o.prompts,
      "JSON Lines: {\"prompt\"}, {\"messages\"} or {\"input_ids\"}");
  text->excludes(file);
  command.add_flag("--raw", o.raw, "take text as it is, without the chat template");
  command.add_option("-n", o.n, "completions per prompt")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command.add_option("--max-tokens", o.sampling.max_tokens, "length limit")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command.add_option("--temperature,--temp", t.temperature, "0 is greedy")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--top-p", t.top_p, "nucleus sampling; 1: off")
      ->capture_default_str()
      ->check(CLI::Range(1e-6, 1.0));
  command.add_option("--top-k", t.top_k, "the k most likely tokens; 0: all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--min-p", t.min_p, "at least min-p times the most likely; 0: off")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--seed", o.sampling.seed, "of the sampling")
      ->capture_default_str();
  command.add_option("--stop", o.sampling.stop, "text that ends a completion");
  command.add_flag("--json", o.json, "one JSON object a completion");
}

std::vector<PromptLine> read_prompts(const GenerateOptions& o) {
  if (!o.prompts.empty()) return read_prompt_file(o.prompts);
  if (o.prompt.empty()) throw UsageError("[generate] give --prompt or --prompts");
  PromptLine line;
  line.id = "0";
  line.text = o.prompt;
  return {line};
}

// Prints a single completion while it grows; its EOS token is not text.
class Streamer {
 public:
  explicit Streamer(const Model& model) : model_(model), decoder_(model.tokenizer) {}

  void operator()(int token) {
    const auto& eos = model_.eos_ids;
    if (std::find(eos.begin(), eos.end(), token) != eos.end()) return;
    show(decoder_.push(token));
  }
  void finish() { show(decoder_.finish() + "\n"); }

 private:
  static void show(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  const Model& model_;
  StreamDecoder decoder_;
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

void print_speed(const GenerateStats& s) {
  std::fprintf(
      stderr,
      "[generate] prompt: %ld tokens, %.1f tok/s; completion: %ld tokens, %.1f tok/s\n",
      s.prompt_tokens,
      s.prompt_tokens / s.prefill_s,
      s.new_tokens,
      s.new_tokens / s.decode_s);
}

void run(const GenerateOptions& o) {
  auto lines = read_prompts(o);
  auto model = load_model(o.model);
  if (!o.adapter.empty()) load_adapters(model.decoder, o.adapter);
  std::vector<Prompt> prompts;
  for (const auto& line : lines) {
    prompts.push_back(prompt_tokens(model, line, o.raw, prompts.size()));
  }
  bool stream = !o.json && lines.size() == 1 && o.n == 1 && o.sampling.stop.empty() &&
                isatty(STDOUT_FILENO);
  Streamer streamer(model);
  GenerateStats stats;
  OnToken on_token;
  if (stream) on_token = [&](int, int, int token) { streamer(token); };
  auto all = generate(model, prompts, o.n, o.sampling, on_token, &stats);
  if (stream) streamer.finish();
  if (!stream) print_all(o, model, lines, all);
  print_speed(stats);
}

}  // namespace

void add_generate(CLI::App& app) {
  auto* command = app.add_subcommand("generate", "complete prompts");
  auto options = std::make_shared<GenerateOptions>();
  declare(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace pupil
