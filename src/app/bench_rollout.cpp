#include "app/bench_rollout.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "app/machine.h"
#include "app/number_option.h"
#include "base/error.h"
#include "base/random.h"
#include "base/stopwatch.h"
#include "base/table.h"
#include "data/tasks.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kSeed = 0;

// Whole and even in [least, most].
int drawn(int least, int most, std::initializer_list<uint64_t> key) {
  return least + static_cast<int>(keyed_bits(key) % (most - least + 1));
}

std::vector<int> some_ids(int count, int vocab, int prompt) {
  std::vector<int> ids;
  for (int i = 0; i < count; ++i) ids.push_back((prompt + i * 7919 + 13) % vocab);
  return ids;
}

std::vector<Prompt> made_prompts(const Model& model, const RolloutWork& work) {
  std::vector<Prompt> prompts;
  for (int p = 0; p < work.prompts; ++p) {
    auto key = static_cast<uint64_t>(p);
    int most = work.prompt_tokens, length = drawn((most + 1) / 2, most, {kSeed, key});
    if (work.long_prompt > 0 && p == work.prompts / 2) length = work.long_prompt;
    prompts.push_back({some_ids(length, model.decoder.config.vocab_size, p), key});
  }
  return prompts;
}

std::vector<Prompt> asked_prompts(const Model& model, const RolloutWork& work) {
  auto tasks = load_tasks(work.tasks, work.prompts);
  if (std::ssize(tasks) < work.prompts)
    throw UsageError(
        "[bench] " + work.tasks + ": expected " + std::to_string(work.prompts) +
        " tasks or more, got " + std::to_string(tasks.size()) + "; set --prompts");
  std::vector<Prompt> prompts;
  for (const auto& task : tasks) {
    std::vector<Message> chat = {{"user", task.prompt}};
    prompts.push_back({model.tokenizer.chat_ids(chat, true), prompts.size()});
  }
  return prompts;
}

SamplingConfig sampling_of(const RolloutWork& work) {
  auto sampling = work.sampling;
  sampling.seed = kSeed;
  sampling.max_tokens = work.limits[1];
  if (!work.tasks.empty()) return sampling;
  sampling.row_limit = [limits = work.limits](int prompt, int row) {
    auto p = static_cast<uint64_t>(prompt), r = static_cast<uint64_t>(row);
    return drawn(limits[0], limits[1], {kSeed, p, r});
  };
  return sampling;
}

void expect_fitting(const Model& model, const RolloutWork& work) {
  if (work.limits[0] > work.limits[1])
    throw UsageError(
        "[command line] --limits: expected LEAST,MOST, got " +
        std::to_string(work.limits[0]) + "," + std::to_string(work.limits[1]));
  if (work.long_prompt > 0 && !work.tasks.empty())
    throw UsageError("[command line] --long-prompt does not go with --tasks");
  int longest = std::max(work.prompt_tokens, work.long_prompt) + work.limits[1];
  int room = model.decoder.config.max_positions;
  if (work.tasks.empty() && longest > room)
    throw UsageError(
        "[bench] a prompt and its completion of " + std::to_string(longest) +
        " tokens exceed the model's " + std::to_string(room) +
        " positions; set --prompt-tokens, --long-prompt or --limits");
}

// To 1 / `parts`.
double rounded(double value, double parts) {
  return std::round(value * parts) / parts;
}

double megabytes(double bytes) {
  return rounded(bytes / 1e6, 10);
}

Json lengths_of(const std::vector<std::vector<Completion>>& all) {
  size_t least = SIZE_MAX, most = 0, sum = 0, rows = 0;
  for (const auto& group : all) {
    for (const auto& c : group) {
      least = std::min(least, c.tokens.size());
      most = std::max(most, c.tokens.size());
      sum += c.tokens.size();
      ++rows;
    }
  }
  auto mean = static_cast<double>(sum) / static_cast<double>(rows);
  return {{"least", least}, {"mean", rounded(mean, 10)}, {"most", most}};
}

Json work_json(const RolloutWork& work) {
  return {
      {"prompts", work.prompts},
      {"rows", work.rows},
      {"ends", work.tasks.empty() ? "drawn" : "the model's own"},
      {"limits", work.limits},
      {"max_rows", rows_at_once(work.sampling.max_rows)},
      {"prefill_chunk", work.sampling.prefill_chunk},
      {"kv_bits", work.kv_bits},
      {"long_prompt", work.long_prompt}};
}

Json figures_json(const GenerateStats& stats, double seconds, uint64_t peak) {
  auto cache = static_cast<double>(stats.cache_bytes);
  auto copied = static_cast<double>(stats.copied_bytes);
  auto unshared = static_cast<double>(stats.unshared_bytes);
  return {
      {"prompt_tokens", stats.prompt_tokens},
      {"new_tokens", stats.new_tokens},
      {"seconds", rounded(seconds, 1e3)},
      {"tok_s", rounded(static_cast<double>(stats.new_tokens) / seconds, 10)},
      {"steps", stats.steps},
      {"occupancy", rounded(stats.occupancy(), 1e4)},
      {"crowded_occupancy", rounded(stats.crowded_occupancy(), 1e4)},
      {"longest_gap_s", rounded(stats.longest_gap_s, 1e4)},
      {"cache_mb", megabytes(cache)},
      {"copied_mb", megabytes(copied)},
      {"share_of_copied", rounded(cache / copied, 1e4)},
      {"unshared_mb", megabytes(unshared)},
      {"cache_share", rounded(cache / unshared, 1e4)},
      {"peak_mb", megabytes(static_cast<double>(peak))}};
}

std::string number_text(const Json& value, int digits, double factor = 1) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, factor * value.get<double>());
  return text;
}

std::string title(const Json& r) {
  auto count = [&](const char* key) { return r[key].dump(); };
  auto limit = [&](int i) { return r["limits"][i].dump(); };
  return "rollout, " + count("prompts") + " prompts x " + count("rows") + " rows, " +
         (r["ends"] == "drawn"
              ? "each of " + limit(0) + " to " + limit(1) + " tokens, drawn from a seed"
              : "up to " + limit(1) + " tokens, ended by the model") +
         "; " + count("max_rows") + " rows at once";
}

}  // namespace

void add_rollout_options(CLI::App& command, RolloutWork& work) {
  command.add_option("--prompts", work.prompts, "rollout: prompts, of --rows each")
      ->capture_default_str()
      ->check(within<int>({1, 1 << 16}));
  command
      .add_option(
          "--limits", work.limits, "rollout: tokens of a row, drawn between the two")
      ->capture_default_str()
      ->delimiter(',')
      ->expected(2)
      ->check(within<int>({1, 1 << 20}));
  command.add_option(
      "--tasks", work.tasks, "rollout: ask this file's tasks; the model ends its rows");
  command
      .add_option(
          "--long-prompt",
          work.long_prompt,
          "rollout: tokens of a prompt midway; 0: none")
      ->capture_default_str()
      ->check(within<int>({0, 1 << 20}));
  command
      .add_option(
          "--max-rows",
          work.sampling.max_rows,
          "rollout: rows at once; default: 32 on a CPU, 64 on a GPU")
      ->check(within<int>(kAtLeastOne));
  command
      .add_option("--kv-bits", work.kv_bits, "rollout: 8: a cache in 8 bits; 0: none")
      ->capture_default_str()
      ->check(CLI::IsMember({0, 8}));
  command
      .add_option(
          "--prefill-chunk",
          work.sampling.prefill_chunk,
          "rollout: tokens of prompts between two steps; 0: whole prompts")
      ->capture_default_str()
      ->check(within<int>(kNotNegative));
}

Json rollout_figures(Model& model, const RolloutWork& work) {
  expect_fitting(model, work);
  bool asks = !work.tasks.empty();
  auto prompts = asks ? asked_prompts(model, work) : made_prompts(model, work);
  if (!asks) model.eos_ids.clear();
  model.decoder.kv_bits = work.kv_bits;
  GenerateStats stats;
  reset_peak_memory();
  Stopwatch watch;
  auto all = generate(model, prompts, work.rows, sampling_of(work), {}, &stats);
  double seconds = watch.seconds();
  auto report = work_json(work);
  report["lengths"] = lengths_of(all);
  report.update(figures_json(stats, seconds, peak_memory_bytes()));
  return report;
}

std::string rollout_text(const Json& r) {
  Table table{{"figure", "value", "unit"}, {}};
  auto row = [&](const char* name, std::string value, const char* unit) {
    table.rows.push_back({name, std::move(value), unit});
  };
  const auto& lengths = r["lengths"];
  row("completion tokens, all rows", r["new_tokens"].dump(), "");
  row("  of a row: least, mean, most",
      lengths["least"].dump() + ", " + lengths["mean"].dump() + ", " +
          lengths["most"].dump(),
      "");
  row("time", number_text(r["seconds"], 1), "s");
  row("completion tokens a second", number_text(r["tok_s"], 0), "tok/s");
  row("places with an unfinished row", number_text(r["occupancy"], 1, 100), "%");
  row("  while prompts waited", number_text(r["crowded_occupancy"], 1, 100), "%");
  row("longest time between two steps", number_text(r["longest_gap_s"], 3), "s");
  row("keys and values, at the most", number_text(r["cache_mb"], 1), "MB");
  row("  with the prompt's in each row", number_text(r["copied_mb"], 1), "MB");
  row("    share", number_text(r["share_of_copied"], 1, 100), "%");
  row("  and room for the limit", number_text(r["unshared_mb"], 1), "MB");
  row("    share", number_text(r["cache_share"], 1, 100), "%");
  row("peak memory", number_text(r["peak_mb"], 0), "MB");
  return title(r) + "\n\n" + terminal_table(table);
}

}  // namespace pupil
