// `--threads`, alike in every command that computes with a model.

#pragma once

#include <CLI/CLI.hpp>
#include <optional>

#include "app/number_option.h"
#include "ops/cpu/thread_pool.h"

namespace pupil {

/// Empty where it is not given.
inline void add_threads_option(CLI::App& command, std::optional<int>& threads) {
  command
      .add_option(
          "--threads",
          threads,
          "CPU threads; 0: one a core. Default: hardware.threads of the config, else 0")
      ->check(within<int>({0, 1024}));
}

/// For commands without a config.
inline void use_threads(const std::optional<int>& threads) {
  if (threads) cpu::set_num_threads(*threads);
}

}  // namespace pupil
