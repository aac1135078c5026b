#include "app/reward_table.h"

#include <algorithm>
#include <stdexcept>

#include "base/cores.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/secret.h"
#include "base/signals.h"
#include "reward/format_reward.h"
#include "reward/length_reward.h"
#include "reward/program_reward.h"
#include "reward/regex_reward.h"
#include "reward/repetition_reward.h"
#include "reward/rubric.h"
#include "reward/sandbox.h"
#include "reward/tests_reward.h"

namespace pupil {

namespace {

RewardFn make_tests(const Config& config) {
  auto sandbox = std::make_shared<const Sandbox>(config.sandbox);
  log_info("sandbox: " + sandbox->description());
  return tests_reward(sandbox, static_cast<unsigned>(num_cores()));
}

RewardFn make_teacher_reward(const std::shared_ptr<Teacher>& teacher) {
  if (teacher) return teacher_reward(teacher);
  throw std::invalid_argument(
      "[config] reward.functions: 'teacher' needs teacher.provider");
}

RewardFn make_length(const RewardFunctionConfig& function, const Config& config) {
  LengthLimits limits;
  limits.max_tokens =
      function.max_completion_len.value_or(config.rollout.max_completion_length);
  // DAPO's own share: 4096 of 20480 tokens.
  limits.soft_tokens = function.soft_punish_cache.value_or(limits.max_tokens / 5);
  return length_reward(limits);
}

// The program may be anyone's: the teacher's key is not for it.
std::vector<std::string> program_environment(const Config& config) {
  return environment_without(
      {"OPENAI_API_KEY",
       "ANTHROPIC_API_KEY",
       config.teacher.api_key_env.value_or("OPENAI_API_KEY")});
}

RewardFn make_program(const RewardFunctionConfig& function, const Config& config) {
  ProgramRewardOptions options;
  options.program.name = display_name(function);
  options.program.command = function.command;
  options.program.environment = program_environment(config);
  options.program.timeout_s = function.timeout_s.value_or(60);
  if (config.logging.run_dir) {
    options.program.stderr_path =
        *config.logging.run_dir + "/rewards/" + options.program.name + ".stderr";
  }
  options.batch_size = function.batch_size.value_or(64);
  options.stop_when_given_up = function.on_failure.value_or("stop") == "stop";
  return program_reward(std::move(options));
}

RewardFn make_reward(
    const RewardFunctionConfig& function,
    const Config& config,
    const std::shared_ptr<Teacher>& teacher) {
  const auto& name = function.name;
  if (!function.command.empty()) return make_program(function, config);
  if (function.pattern) return regex_reward(display_name(function), *function.pattern);
  if (name == "tests") return make_tests(config);
  if (name == "format") return format_reward();
  if (name == "rubric") return rubric_reward();
  if (name == "teacher") return make_teacher_reward(teacher);
  if (name == "length") return make_length(function, config);
  if (name == "repetition") {
    return repetition_reward(
        function.ngram_size.value_or(3), function.max_penalty.value_or(-1));
  }
  throw std::invalid_argument("[config] reward.functions: unknown '" + name + "'");
}

}  // namespace

std::shared_ptr<Teacher> make_teacher(
    const Config& config, std::optional<LocalModel> local) {
  if (config.teacher.provider == "none") return nullptr;
  TeacherOptions options;
  options.local = std::move(local);
  options.stop_requested = StopSignals::requested;
  options.on_notice = announce_progress;
  auto teacher = std::make_shared<Teacher>(config.teacher, options);
  hide_variable(teacher->key_variable());
  return teacher;
}

std::vector<RewardFunction> make_rewards(
    const Config& config, const std::shared_ptr<Teacher>& teacher) {
  check_reward_functions(config.reward.functions);
  std::vector<RewardFunction> functions;
  for (const auto& function : config.reward.functions) {
    functions.push_back(
        {display_name(function),
         function.weight,
         make_reward(function, config, teacher),
         function.share});
  }
  return functions;
}

}  // namespace pupil
