// `pupil fuse`: a model with an adapter added into its weights.

#include <cstdio>
#include <functional>
#include <memory>

#include "app/commands.h"
#include "app/conversion_bar.h"
#include "app/gguf_summary.h"
#include "base/json.h"
#include "base/log.h"
#include "base/table.h"
#include "models/fuse.h"
#include "models/gguf_export.h"

namespace pupil {

namespace {

struct FuseArguments {
  FuseOptions options;
  std::string gguf;  // a file to write as well; empty: none
  bool force = false, json = false;
};

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
  return text;
}

void print_json(
    const FuseSummary& summary, const FuseOptions& options, const std::string& gguf) {
  nlohmann::ordered_json modules = nlohmann::ordered_json::object();
  for (const auto& [kind, move] : summary.moves)
    modules[kind] = {
        {"modules", move.modules},
        {"adapter", move.effect()},
        {"packing_loss", move.loss()}};
  auto total = summary.total();
  nlohmann::ordered_json result{
      {"path", options.to},
      {"modules", modules},
      {"adapter", total.effect()},
      {"packing_loss", total.loss()}};
  if (!gguf.empty()) result["gguf"] = gguf;
  std::printf("%s\n", json_text(result).c_str());
}

void print_table(const FuseSummary& summary, const FuseOptions& options) {
  Table table{{"module", "of them", "adapter / weights", "packing / adapter"}, {}};
  auto line = [&](const std::string& name, const FuseMove& move) {
    table.rows.push_back(
        {name,
         std::to_string(move.modules),
         percent(move.effect()),
         move.packing > 0 ? percent(move.loss()) : "-"});
  };
  for (const auto& [kind, move] : summary.moves) line(kind, move);
  line("all", summary.total());
  std::printf("%swrote %s\n", terminal_table(table).c_str(), options.to.c_str());
}

void warn_of_loss(const FuseSummary& summary) {
  double loss = summary.total().loss();
  if (loss <= 1) return;
  log_warning(
      "[fuse] packing moved the weights " + percent(loss) +
      " as far as the adapter did: little of what it learnt is left; keep the adapter, "
      "or unpack with --dequantize");
}

void run(const FuseArguments& arguments) {
  auto options = arguments.options;
  if (arguments.force) options.existing = Existing::replace_model;
  if (!arguments.gguf.empty()) {
    check_gguf_target(arguments.gguf, options.existing);
    check_gguf_model(options.model);
  }
  ConversionBar bar("fusing");
  auto summary = fuse_model(options, std::ref(bar));
  bar.finish();
  warn_of_loss(summary);
  GgufExport types;
  if (!arguments.gguf.empty())
    types = export_gguf(options.to, arguments.gguf, options.existing);
  if (arguments.json) return print_json(summary, options, arguments.gguf);
  print_table(summary, options);
  if (!arguments.gguf.empty()) print_gguf(types, arguments.gguf);
}

}  // namespace

void add_fuse(CLI::App& app) {
  auto* command = app.add_subcommand("fuse", "Add an adapter into a model's weights");
  auto arguments = std::make_shared<FuseArguments>();
  auto& o = arguments->options;
  o.to = "fused_model";
  command->add_option("--model", o.model, "MLX model directory")->required();
  command
      ->add_option(
          "--adapter,--adapter-path",
          o.adapter,
          "adapter directory: mlx-lm's or PEFT's")
      ->required();
  command->add_option("--to,--save-path", o.to, "directory to write")
      ->capture_default_str();
  command->add_flag("-d,--dequantize", o.dequantize, "unpack all weights");
  command->add_option(
      "--export-gguf", arguments->gguf, "a .gguf file to write as well, for llama.cpp");
  command->add_flag("--force", arguments->force, "replace a model that --to holds");
  command->add_flag("--json", arguments->json, "the summary as one JSON object");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pupil
