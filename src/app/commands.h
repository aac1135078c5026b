// The commands of `pupil`, one file each. `add_*` declares a command's options on the
// parser and runs it when it is chosen; errors leave as exceptions (base/error.h).

#pragma once

#include <CLI/CLI.hpp>

namespace pupil {

// Each line here has one in main.cpp.
void add_adapter(CLI::App& app);
void add_advantages(CLI::App& app);
void add_bench(CLI::App& app);
void add_cache(CLI::App& app);
void add_collect(CLI::App& app);
void add_convert(CLI::App& app);
void add_diff(CLI::App& app);
void add_doctor(CLI::App& app);
void add_eval(CLI::App& app);
void add_init(CLI::App& app);
void add_train(CLI::App& app);
void add_generate(CLI::App& app);
void add_fuse(CLI::App& app);
void add_logprobs(CLI::App& app);
void add_loss(CLI::App& app);
void add_runs(CLI::App& app);
void add_score(CLI::App& app);
void add_sft(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_worker(CLI::App& app);

}  // namespace pupil
