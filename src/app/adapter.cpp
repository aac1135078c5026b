// `pupil adapter`: an adapter in another layout.

#include <cstdio>
#include <memory>

#include "app/commands.h"
#include "base/json.h"
#include "models/adapter_files.h"

namespace pupil {

namespace {

struct AdapterArguments {
  std::string from, to, base_model;
  AdapterLayout layout = AdapterLayout::peft;
  bool json = false;
};

void run(const AdapterArguments& arguments) {
  auto files = read_adapter_files(arguments.from);
  if (!arguments.base_model.empty()) files.base_model = arguments.base_model;
  write_adapter_files(files, arguments.to, arguments.layout);
  bool peft = arguments.layout == AdapterLayout::peft;
  if (!arguments.json) {
    std::printf(
        "wrote %s: %zu tensors in %s layout\n",
        arguments.to.c_str(),
        files.tensors.size(),
        peft ? "PEFT's" : "mlx-lm's");
    return;
  }
  nlohmann::ordered_json result = {
      {"path", arguments.to},
      {"layout", peft ? "peft" : "mlx_lm"},
      {"tensors", files.tensors.size()}};
  std::printf("%s\n", json_text(result).c_str());
}

}  // namespace

void add_adapter(CLI::App& app) {
  auto* command =
      app.add_subcommand("adapter", "Write an adapter in PEFT's or mlx-lm's layout");
  auto arguments = std::make_shared<AdapterArguments>();
  const std::map<std::string, AdapterLayout> layouts = {
      {"peft", AdapterLayout::peft}, {"mlx_lm", AdapterLayout::mlx_lm}};
  command
      ->add_option(
          "--from,--adapter", arguments->from, "adapter directory: mlx-lm's or PEFT's")
      ->required();
  command->add_option("--to", arguments->to, "directory to write")->required();
  command->add_option("--layout", arguments->layout, "peft or mlx_lm (default peft)")
      ->transform(CLI::CheckedTransformer(layouts))
      ->option_text("peft|mlx_lm");
  command->add_option(
      "--base-model",
      arguments->base_model,
      "what the adapter's configuration names as its model, such as a hub name");
  command->add_flag("--json", arguments->json, "the summary as one JSON object");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pupil
