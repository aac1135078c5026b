// A folder in which `pupil train -c config.yaml` works and takes milliseconds, and what
// programs that run in it say.

#pragma once

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/run_program.h"
#include "app/tiny_student.h"
#include "base/process.h"
#include "support/files.h"
#include "support/temp_dir.h"

namespace pupil::testing {

/// Holds model/, tasks.jsonl and config.yaml, whose run directory is run/.
class TinyWorld {
 public:
  TinyWorld() {
    write_tiny_student(at("model"));
    teach_answers();
    write(
        "tasks.jsonl",
        R"({"id":"one","prompt":"f a","entry_point":"f"})"
        "\n"
        R"({"id":"two","prompt":"f b","entry_point":"f"})"
        "\n");
    write(
        "config.yaml",
        "hardware: {mlx_model_path: model}\n"
        "data: {train: tasks.jsonl}\n"
        "rollout: {num_generations: 4, max_completion_length: 2}\n"
        "reward: {functions: [{name: format, weight: 1}, {name: rubric, weight: 1}]}\n"
        "train: {max_steps: 2, prompts_per_step: 2, learning_rate: 0.01, save_steps: "
        "1}\n"
        "lora: {rank: 2}\n"
        "logging: {run_dir: run, tensorboard: false}\n");
  }

  std::filesystem::path at(const std::string& name) const { return dir_.path() / name; }
  std::string read(const std::string& name) const { return read_text(at(name)); }
  void write(const std::string& name, const std::string& text) const {
    write_text(at(name), text);
  }

  /// Replaces the first `from` in a file, which must hold it.
  void replace(
      const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = read(name);
    size_t at = text.find(from);
    ASSERT_NE(at, text.npos) << from << " in " << name;
    write(name, text.replace(at, from.size(), to));
  }

  /// Runs `pupil arguments` here, the arguments as a shell takes them.
  ProgramResult run(const std::string& arguments) const {
    return run_in(dir_.path().string(), arguments);
  }

 private:
  // Rewards differ only where some answers are right: the ids of digits and signs stand
  // for whole programs instead.
  void teach_answers() const {
    auto path = at("model/tokenizer.json");
    auto json = nlohmann::json::parse(read_text(path));
    auto& vocabulary = json["model"]["vocab"];
    auto old = vocabulary;
    for (const auto& [token, id] : old.items()) {
      if (id < 33) continue;
      char letter = static_cast<char>('a' + id.get<int>() - 33);
      vocabulary.erase(token);
      std::string name = {'v', letter};
      vocabulary["```pythonĊdefĠf(" + name + "):ĊĠĠĠĠreturnĠ" + name + "Ċ```"] = id;
    }
    write_text(path, json.dump());
  }

  TempDir dir_;
};

/// `pupil` in the background, to be watched and ended by signals.
class RunningPupil {
 public:
  RunningPupil(const std::filesystem::path& folder, std::vector<std::string> arguments)
      : child_(options(folder, std::move(arguments))) {}

  /// Waits until it has written `text`, or has ended. False: it ended without.
  bool wait_for(const std::string& text) {
    while (child_.output().find(text) == std::string::npos) {
      if (child_.finished()) return false;
      pump();
    }
    return true;
  }
  void signal(int number) { ::kill(child_.pid(), number); }
  const ProcessResult& finish() {
    while (!child_.finished()) pump();
    return child_.result();
  }

 private:
  static ProcessOptions options(
      const std::filesystem::path& folder, std::vector<std::string> arguments) {
    ProcessOptions options;
    options.argv = {PUPIL_EXECUTABLE};
    for (auto& argument : arguments) options.argv.push_back(std::move(argument));
    options.environment = {"PATH=/usr/bin:/bin"};
    options.directory = folder.string();
    options.wall_s = 300;
    options.output_bytes = 1 << 22;
    return options;
  }
  void pump() {
    Child* children[] = {&child_};
    Child::pump(children, 0.05);
  }

  Child child_;
};

/// It failed with `exit_code`, and said so in one line on stderr that has `part` in it.
inline ::testing::AssertionResult failed(
    const ProgramResult& run, int exit_code, const std::string& part) {
  auto wrong = [&](const std::string& what) {
    return ::testing::AssertionFailure() << what << "; exit code " << run.exit_code
                                         << ", stderr: '" << run.errors << "'";
  };
  const auto& errors = run.errors;
  if (run.exit_code != exit_code) {
    return wrong("expected exit code " + std::to_string(exit_code));
  }
  if (!errors.starts_with("pupil: [") || errors.find('\n') != errors.size() - 1) {
    return wrong("expected one line that begins with 'pupil: ['");
  }
  return errors.find(part) == errors.npos ? wrong("expected '" + part + "'")
                                          : ::testing::AssertionSuccess();
}

/// The names in a folder, sorted.
inline std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace pupil::testing
