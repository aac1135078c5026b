// Subcommands, the only catch and the only exit code.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "app/commands.h"
#include "app/version.h"
#include "base/error.h"
#include "base/log.h"

namespace {

enum ExitCode { kFailed = 1, kUsage = 2, kStopped = 3 };

int complain(const std::exception& error, ExitCode code) {
  std::fprintf(stderr, "pupil: %s\n", error.what());
  return code;
}

void add_commands(CLI::App& app) {
  pupil::add_init(app);
  pupil::add_doctor(app);
  pupil::add_train(app);
  pupil::add_generate(app);
  pupil::add_logprobs(app);
  pupil::add_tokenize(app);
  pupil::add_convert(app);
}

}  // namespace

int main(int argc, char** argv) {
  pupil::start_log();
  CLI::App app("Pupil teaches a small code model with AI feedback.", "pupil");
  app.set_version_flag("--version", pupil::version_text);
  app.require_subcommand(1);
  add_commands(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  } catch (const pupil::UsageError& error) {
    return complain(error, kUsage);
  } catch (const pupil::Stopped& error) {
    return complain(error, kStopped);
  } catch (const std::exception& error) {
    return complain(error, kFailed);
  }
}
