#include "app/reward_table.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "base/progress.h"
#include "base/secret.h"
#include "base/signals.h"
#include "reward/format_reward.h"
#include "reward/rubric.h"
#include "reward/sandbox.h"
#include "reward/tests_reward.h"

namespace pupil {

namespace {

RewardFn make_tests(const Config& config) {
  auto sandbox = std::make_shared<const Sandbox>(config.sandbox);
  std::printf("sandbox: %s\n", sandbox->description().c_str());
  return tests_reward(sandbox, std::max(1u, std::thread::hardware_concurrency()));
}

RewardFn make_reward(
    const std::string& name,
    const Config& config,
    const std::shared_ptr<Teacher>& teacher) {
  if (name == "tests") return make_tests(config);
  if (name == "format") return format_reward();
  if (name == "rubric") return rubric_reward();
  if (name == "teacher") {
    if (!teacher) {
      throw std::invalid_argument(
          "[config] reward.functions: 'teacher' needs teacher.provider");
    }
    return teacher_reward(teacher);
  }
  throw std::invalid_argument("[config] reward.functions: unknown '" + name + "'");
}

}  // namespace

std::shared_ptr<Teacher> make_teacher(const Config& config) {
  if (config.teacher.provider == "none") return nullptr;
  TeacherOptions options;
  options.stop_requested = StopSignals::requested;
  options.on_notice = announce_progress;
  auto teacher = std::make_shared<Teacher>(config.teacher, options);
  hide_variable(teacher->key_variable());
  return teacher;
}

std::vector<RewardFunction> make_rewards(
    const Config& config, const std::shared_ptr<Teacher>& teacher) {
  std::vector<RewardFunction> functions;
  for (const auto& [name, weight] : config.reward.functions) {
    functions.push_back({name, weight, make_reward(name, config, teacher)});
  }
  return functions;
}

}  // namespace pupil
