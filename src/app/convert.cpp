// pupil convert: a Hugging Face directory, a model of its hub or a GGUF file to an MLX
// model directory, or to a GGUF file.

#include "models/convert.h"

#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "app/commands.h"
#include "app/conversion_bar.h"
#include "app/gguf_summary.h"
#include "base/error.h"
#include "base/quote.h"
#include "hub/hub.h"
#include "models/gguf_export.h"

namespace pupil {
namespace {

struct ConvertArguments {
  std::string from, revision, to = "mlx_model", dtype, mode = "affine", recipe;
  bool quantize = false, dequantize = false, force = false, json = false;
  std::optional<int> bits, group_size;
};

QuantizeRequest request_of(const ConvertArguments& arguments) {
  QuantizeRequest request{arguments.group_size, arguments.bits};
  request.mode = *find_mode(arguments.mode);
  auto usual = usual_quantization(request.mode);
  Quantization packing{
      request.group_size.value_or(usual.group_size),
      request.bits.value_or(usual.bits),
      request.mode};
  if (auto wrong = wrong_sizes(packing))
    throw UsageError("[command line] --q-bits: " + *wrong);
  for (const auto& recipe : kQuantRecipes)
    if (recipe.name == arguments.recipe) request.recipe = recipe;
  return request;
}

ConvertOptions options_of(const ConvertArguments& arguments) {
  ConvertOptions options;
  options.to = arguments.to;
  options.dequantize = arguments.dequantize;
  if (arguments.quantize) options.quantize = request_of(arguments);
  if (arguments.dtype == "float16") options.dtype = mx::float16;
  if (arguments.dtype == "bfloat16") options.dtype = mx::bfloat16;
  if (arguments.dtype == "float32") options.dtype = mx::float32;
  if (arguments.force) options.existing = Existing::replace_model;
  return options;
}

double megabytes(int64_t bytes) {
  return static_cast<double>(bytes) / 1e6;
}

std::string packing_text(const Quantization& packing) {
  auto text = std::to_string(packing.bits) + " bits";
  if (packing.group_size == 0) return text;
  if (packing.mode != QuantMode::affine) text = mode_name(packing.mode);
  return text + ", groups of " + std::to_string(packing.group_size);
}

const char* fate_text(ConvertSummary::Fate fate) {
  using enum ConvertSummary::Fate;
  switch (fate) {
    case kept:
      return "kept";
    case unpacked:
      return "unpacked";
    case packed:
      return "packed anew";
    case dense:
      break;
  }
  return "dense";
}

// What became of the types of a GGUF file.
void print_origins(const ConvertSummary& summary) {
  bool is_lossy = false;
  for (const auto& [origin, tensors] : summary.origins) {
    std::printf(
        "%-6s %4d tensors %s: %s\n",
        origin.type.c_str(),
        tensors,
        fate_text(origin.fate),
        packing_text(origin.packing).c_str());
    is_lossy |= origin.fate == ConvertSummary::Fate::unpacked;
  }
  if (is_lossy) std::printf("-q packs anew what was unpacked\n");
}

void print_table(const ConvertSummary& summary, const std::string& to) {
  std::printf("%-26s %8s %14s %12s\n", "packing", "tensors", "parameters", "MB");
  auto line = [](const std::string& name, const ConvertSummary::Row& row) {
    std::printf(
        "%-26s %8d %14lld %12.1f\n",
        name.c_str(),
        row.tensors,
        static_cast<long long>(row.parameters),
        megabytes(row.bytes));
  };
  for (const auto& [packing, row] : summary.rows) line(packing_text(packing), row);
  line("total", summary.total());
  print_origins(summary);
  std::printf("wrote %s\n", to.c_str());
}

void print_json(const ConvertSummary& summary, const std::string& to) {
  nlohmann::json rows = nlohmann::json::array();
  for (const auto& [packing, row] : summary.rows) {
    rows.push_back(
        {{"bits", packing.bits},
         {"group_size", packing.group_size},
         {"mode", packing.group_size ? mode_name(packing.mode) : "dense"},
         {"tensors", row.tensors},
         {"parameters", row.parameters},
         {"bytes", row.bytes}});
  }
  nlohmann::json result = {{"path", to}, {"packings", rows}};
  for (const auto& [origin, tensors] : summary.origins) {
    result["source_types"].push_back(
        {{"type", origin.type},
         {"tensors", tensors},
         {"result", fate_text(origin.fate)},
         {"bits", origin.packing.bits},
         {"group_size", origin.packing.group_size}});
  }
  std::printf("%s\n", result.dump().c_str());
}

// The path of what is to be converted: a path that exists wins over a hub name.
std::string source_path(const std::string& from, const std::string& revision) {
  std::error_code no_path;
  if (std::filesystem::exists(from, no_path)) {
    if (revision.empty()) return from;
    throw std::invalid_argument(
        "[convert] " + in_quotes(from, 200) +
        " is a path, and --revision is for the name of a model on the hub");
  }
  if (!is_hub_name(from)) {
    throw std::invalid_argument(
        "[convert] " + in_quotes(from, 200) +
        ": no such file or directory, and not the name of a model on the hub, which is "
        "OWNER/MODEL or OWNER/MODEL@REVISION");
  }
  return hub_model(parse_hub_name(from, revision), hub_settings());
}

ConvertSummary convert(const ConvertArguments& arguments) {
  auto options = options_of(arguments);
  check_target(options.to, options.existing);
  options.from = source_path(arguments.from, arguments.revision);
  ConversionBar bar("converting");
  return convert_model(options, std::ref(bar));
}

void run_to_gguf(const ConvertArguments& arguments) {
  auto options = options_of(arguments);
  options.from = source_path(arguments.from, arguments.revision);
  ConversionBar bar("converting");
  auto types = convert_to_gguf(options, std::ref(bar));
  bar.finish();
  if (arguments.json) {
    nlohmann::json result = {{"path", arguments.to}, {"types", types}};
    std::printf("%s\n", result.dump().c_str());
  } else {
    print_gguf(types, arguments.to);
  }
}

void run(const ConvertArguments& arguments) {
  if (arguments.to.ends_with(".gguf")) return run_to_gguf(arguments);
  auto summary = convert(arguments);
  if (arguments.json) return print_json(summary, arguments.to);
  print_table(summary, arguments.to);
}

std::vector<std::string> mode_names() {
  return {"affine", "mxfp4", "mxfp8", "nvfp4"};
}

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const auto& recipe : kQuantRecipes) names.emplace_back(recipe.name);
  return names;
}

void add_packing(CLI::App& command, ConvertArguments& a) {
  auto* quantize =
      command.add_flag("-q,--quantize", a.quantize, "pack linears and the embedding");
  command.add_option("--q-bits", a.bits, "bits of a packed weight (affine: 4)")
      ->needs(quantize);
  command
      .add_option(
          "--q-group-size", a.group_size, "weights that share a scale (affine: 64)")
      ->needs(quantize);
  command.add_option("--q-mode", a.mode, "what a packed number stands for")
      ->check(CLI::IsMember(mode_names()))
      ->capture_default_str()
      ->needs(quantize);
  command
      .add_option(
          "--quant-predicate", a.recipe, "a recipe of two widths, by layer and module")
      ->check(CLI::IsMember(recipe_names()))
      ->needs(quantize);
  command.add_flag("-d,--dequantize", a.dequantize, "unpack all weights")
      ->excludes(quantize);
}

}  // namespace

void add_convert(CLI::App& app) {
  auto arguments = std::make_shared<ConvertArguments>();
  auto& a = *arguments;
  auto* command = app.add_subcommand(
      "convert",
      "Turn a Hugging Face directory, a model of its hub or a GGUF file into an MLX "
      "model directory, or into a GGUF file; the options of mlx_lm.convert mean the "
      "same "
      "here");
  command
      ->add_option(
          "--from,--hf-path,--model",
          a.from,
          "model directory, .gguf file or hub name: OWNER/MODEL[@REVISION]")
      ->required();
  command->add_option(
      "--revision", a.revision, "branch, tag or commit on the hub (default: main)");
  command
      ->add_option("--to,--mlx-path", a.to, "model directory to write, or a .gguf file")
      ->capture_default_str();
  add_packing(*command, a);
  command
      ->add_option(
          "--dtype",
          a.dtype,
          "type of floats (default: torch_dtype of config.json, else the source's)")
      ->check(CLI::IsMember({"float16", "bfloat16", "float32"}));
  command->add_flag("--force", a.force, "replace a model that --to holds");
  command->add_flag("--json", a.json, "print the summary as one JSON object");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pupil
