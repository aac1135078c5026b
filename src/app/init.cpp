// `pupil init`: a commented config.yaml to start from.

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "algo/methods.h"
#include "app/commands.h"
#include "base/file.h"
#include "base/quote.h"
#include "config/load_config.h"

namespace pupil {

namespace {

struct InitOptions {
  std::string path = "config.yaml";
  bool markdown = false;
  bool methods = false;
};

void write_config(const std::string& path) {
  if (std::filesystem::exists(std::filesystem::symlink_status(path))) {
    throw std::invalid_argument(
        "[init] " + in_quotes(path, 500) +
        " exists and is kept; name another file or move it away");
  }
  write_file_atomically(path, dump_yaml(Config()));
}

void run_init(const InitOptions& options) {
  if (options.markdown) {
    std::fputs(config_markdown().c_str(), stdout);
    return;
  }
  if (options.methods) {
    std::fputs(methods_markdown().c_str(), stdout);
    return;
  }
  if (options.path == "-") {
    std::fputs(dump_yaml(Config()).c_str(), stdout);
    return;
  }
  write_config(options.path);
  std::printf(
      "wrote %s: set hardware.mlx_model_path and data.train, then run\n"
      "  pupil doctor -c %s\n  pupil train -c %s\n",
      options.path.c_str(),
      options.path.c_str(),
      options.path.c_str());
}

}  // namespace

void add_init(CLI::App& app) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* command = app.add_subcommand("init", "Write a commented config.yaml");
  command->add_option("path", options->path, "the file to write; -: to stdout")
      ->capture_default_str();
  command->add_flag(
      "--markdown", options->markdown, "print the reference of every key instead");
  command->add_flag(
      "--methods", options->methods, "print the reference of training methods instead");
  command->callback([options] { run_init(*options); });
}

}  // namespace pupil
