// Subcommands, the only catch and the only exit code.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>

#include "app/commands.h"
#include "app/version.h"
#include "base/allocator.h"
#include "base/error.h"
#include "base/log.h"
#include "base/quote.h"
#include "config/schema.h"

namespace {

enum ExitCode { kFailed = 1, kUsage = 2, kStopped = 3 };

// Always one line, whatever names of files and keys are in it.
int complain(std::string text, ExitCode code) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  std::fprintf(stderr, "pupil: %s\n", text.c_str());
  return code;
}

void add_commands(CLI::App& app) {
  pupil::add_init(app);
  pupil::add_doctor(app);
  pupil::add_train(app);
  pupil::add_sft(app);
  pupil::add_runs(app);
  pupil::add_diff(app);
  pupil::add_generate(app);
  pupil::add_logprobs(app);
  pupil::add_score(app);
  pupil::add_eval(app);
  pupil::add_tokenize(app);
  pupil::add_convert(app);
  pupil::add_fuse(app);
  pupil::add_adapter(app);
  pupil::add_loss(app);
  pupil::add_advantages(app);
  pupil::add_bench(app);
  pupil::add_cache(app);
  pupil::add_collect(app);
  pupil::add_worker(app);
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* command : app.get_subcommands({})) {
    names.push_back(command->get_name());
  }
  return names;
}

// The parser would only say that a command is missing.
void expect_known_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  const auto names = command_names(app);
  if (std::find(names.begin(), names.end(), argv[1]) != names.end()) return;
  throw pupil::UsageError(
      "[command line] no such command: " + pupil::in_quotes(argv[1]) +
      "; did you mean " + pupil::nearest_key(argv[1], names) + "?");
}

// --help and --version, too, end the parser by an exception.
int explain(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);
  std::string text = error.what(), command = "pupil ";
  if (!text.empty() && text.back() == '.') text.pop_back();
  for (const auto* chosen : app.get_subcommands()) command += chosen->get_name() + ' ';
  return complain("[command line] " + text + "; see `" + command + "--help`", kUsage);
}

// A full disk or a lost reader behind stdout is a failure, not an empty answer.
void expect_written() {
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0) return;
  const std::string why = flushed ? "" : std::string(": ") + std::strerror(errno);
  throw std::runtime_error("[output] stdout could not be written" + why);
}

}  // namespace

int main(int argc, char** argv) {
  pupil::start_log();
  pupil::keep_freed_memory();
  CLI::App app("Pupil teaches a small code model with AI feedback.", "pupil");
  app.set_version_flag("--version", pupil::version_text);
  app.require_subcommand(1);
  add_commands(app);
  try {
    expect_known_command(app, argc, argv);
    app.parse(argc, argv);
    expect_written();
    return 0;
  } catch (const CLI::ParseError& error) {
    return explain(app, error);
  } catch (const pupil::UsageError& error) {
    return complain(error.what(), kUsage);
  } catch (const pupil::Stopped& error) {
    return complain(error.what(), kStopped);
  } catch (const std::bad_alloc&) {
    return complain("[memory] out of memory", kFailed);
  } catch (const std::exception& error) {
    return complain(error.what(), kFailed);
  }
}
