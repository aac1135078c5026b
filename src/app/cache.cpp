// `pupil cache`: what the teacher's cache holds, what can go, and all of it as JSON.

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>

#include "app/commands.h"
#include "base/file.h"
#include "base/json.h"
#include "config/load_config.h"
#include "reward/teacher_cache.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct CacheOptions {
  std::string config, file, model, out = "-";
  double older_than_days = 0;
  bool json = false;
};

std::string path_of(const CacheOptions& options) {
  if (!options.file.empty()) return options.file;
  auto config = load_config(options.config, {});
  return cache_path(config.teacher.cache, process_environment);
}

// To look at what is not there must not make it.
std::string existing_path(const CacheOptions& options) {
  auto path = path_of(options);
  if (fs::exists(path)) return path;
  throw std::invalid_argument(
      "[cache] there is no file " + path +
      "; name one with --file, or a config with -c");
}

std::string date_text(int64_t seconds) {
  char text[32];
  auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

Json as_json(const CacheUse& use) {
  return {
      {"model", use.model},
      {"answers", use.answers},
      {"input_tokens", use.usage.input_tokens},
      {"output_tokens", use.usage.output_tokens},
      {"oldest", use.oldest},
      {"newest", use.newest}};
}

void print_stats(const CacheOptions& options) {
  auto path = existing_path(options);
  auto rows = TeacherCache(path).usage();
  if (options.json) {
    Json models = Json::array();
    for (const auto& row : rows) models.push_back(as_json(row));
    Json all = {{"file", path}, {"bytes", fs::file_size(path)}, {"models", models}};
    std::printf("%s\n", json_text(all).c_str());
    return;
  }
  std::printf("%s: %.1f MB\n", path.c_str(), 1e-6 * double(fs::file_size(path)));
  for (const auto& row : rows) {
    std::printf(
        "%s: %lld answers, %lld + %lld tokens, %s to %s\n",
        row.model.c_str(),
        static_cast<long long>(row.answers),
        static_cast<long long>(row.usage.input_tokens),
        static_cast<long long>(row.usage.output_tokens),
        date_text(row.oldest).c_str(),
        date_text(row.newest).c_str());
  }
  if (rows.empty()) std::printf("no answers\n");
}

void prune(const CacheOptions& options) {
  auto seconds = static_cast<int64_t>(options.older_than_days * 86400);
  TeacherCache cache(existing_path(options));
  // A day of 0 means everything, what was stored this second included.
  auto removed = cache.prune(std::time(nullptr) + 1 - seconds, options.model);
  std::printf(
      "removed %lld answers, %lld are left\n",
      static_cast<long long>(removed),
      static_cast<long long>(cache.size()));
}

Json as_json(const CachedRow& row) {
  return {
      {"key", row.key},
      {"model", row.model},
      {"created", row.created},
      {"cut_off", row.answer.outcome == ChatOutcome::length},
      {"text", row.answer.text},
      {"input_tokens", row.answer.usage.input_tokens},
      {"output_tokens", row.answer.usage.output_tokens},
      {"request_id", row.answer.request_id}};
}

void export_answers(const CacheOptions& options) {
  TeacherCache cache(existing_path(options));
  if (options.out == "-") {
    cache.each([](const CachedRow& row) {
      std::printf("%s\n", json_text(as_json(row)).c_str());
    });
    return;
  }
  std::string text;
  cache.each([&](const CachedRow& row) { text += json_text(as_json(row)) + "\n"; });
  write_file_atomically(options.out, text);
  std::printf(
      "wrote %lld answers to %s\n",
      static_cast<long long>(cache.size()),
      options.out.c_str());
}

CLI::App* add_action(
    CLI::App& command,
    const char* name,
    const char* help,
    const std::shared_ptr<CacheOptions>& options,
    void (*run)(const CacheOptions&)) {
  auto* action = command.add_subcommand(name, help);
  auto* config =
      action->add_option("-c,--config", options->config, "for its teacher.cache");
  action
      ->add_option(
          "--file", options->file, "the cache file; default: where training keeps it")
      ->excludes(config);
  action->callback([options, run] { run(*options); });
  return action;
}

}  // namespace

void add_cache(CLI::App& app) {
  auto options = std::make_shared<CacheOptions>();
  auto* command =
      app.add_subcommand("cache", "The teacher's stored answers: stats, prune, export");
  command->require_subcommand(1);
  auto* stats =
      add_action(*command, "stats", "How many answers, by model", options, print_stats);
  stats->add_flag("--json", options->json, "one JSON object");
  auto* pruning = add_action(
      *command, "prune", "Remove answers and give their space back", options, prune);
  pruning
      ->add_option(
          "--older-than", options->older_than_days, "in days; 0: whatever their age")
      ->required()
      ->check(CLI::Range(0.0, 1e5));
  pruning->add_option("--model", options->model, "only of this model");
  auto* exporting = add_action(
      *command, "export", "Every answer as a JSON line", options, export_answers);
  exporting->add_option("--out", options->out, "the file to write; -: stdout")
      ->capture_default_str();
}

}  // namespace pupil
