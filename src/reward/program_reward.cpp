#include "reward/program_reward.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "base/log.h"

extern char** environ;

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;
using Scores = std::vector<Score>;

Json item_of(const Sample& sample) {
  const Task& task = *sample.task;
  Json about = {
      {"id", task.id},
      {"language", task.language},
      {"entry_point", task.entry_point},
      {"tests", task.tests},
      {"setup", task.setup},
      {"solution", task.solution}};
  if (!task.extra.empty()) about.update(Json::parse(task.extra));
  return {
      {"prompt", task.prompt},
      {"completion", sample.completion->text},
      {"task", about}};
}

Json items_of(std::span<const Sample> samples) {
  Json items = Json::array();
  for (const auto& sample : samples) items.push_back(item_of(sample));
  return items;
}

Score score_alone(RewardProgram& program, const Sample& sample) {
  auto answer = program.ask(items_of({&sample, 1}));
  if (answer.trouble.empty()) return answer.scores[0];
  return {std::nullopt, answer.trouble};
}

Scores score_batch(RewardProgram& program, std::span<const Sample> samples) {
  const bool was_given_up = program.given_up();
  auto answer = program.ask(items_of(samples));
  if (answer.trouble.empty()) return std::move(answer.scores);
  if (!was_given_up) log_warning("[reward] " + answer.trouble);
  Scores scores;
  for (const auto& sample : samples) scores.push_back(score_alone(program, sample));
  if (program.given_up() && !was_given_up)
    log_warning("[reward] " + scores.back().reason);
  return scores;
}

/// Runs a RewardProgram on a thread of its own, which lives as long as it: calls may
/// come from any thread and wait for their turn.
class ProgramThread {
 public:
  explicit ProgramThread(ProgramRewardOptions options)
      : options_(std::move(options)), thread_([this] { serve(); }) {
    try {
      run([](RewardProgram&) { return Scores(); });  // tells what the constructor threw
    } catch (...) {
      end();
      throw;
    }
  }
  ~ProgramThread() { end(); }
  ProgramThread(const ProgramThread&) = delete;
  ProgramThread& operator=(const ProgramThread&) = delete;

  Scores score(std::span<const Sample> samples) {
    return run([&](RewardProgram& program) { return score_all(program, samples); });
  }

 private:
  using Work = std::function<Scores(RewardProgram&)>;
  using Job = std::packaged_task<Scores(RewardProgram*)>;

  Scores run(const Work& work) {
    Job job([&](RewardProgram* program) {
      if (!program) std::rethrow_exception(broken_);
      return work(*program);
    });
    auto result = job.get_future();
    {
      std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    ready_.notify_one();
    return result.get();
  }

  Scores score_all(RewardProgram& program, std::span<const Sample> samples) const {
    Scores scores;
    const auto size = static_cast<size_t>(options_.batch_size);
    for (size_t i = 0; i < samples.size(); i += size) {
      auto part =
          score_batch(program, samples.subspan(i, std::min(size, samples.size() - i)));
      if (program.given_up() && options_.stop_when_given_up) {
        throw std::runtime_error("[reward] " + part.back().reason);
      }
      std::move(part.begin(), part.end(), std::back_inserter(scores));
    }
    return scores;
  }

  std::unique_ptr<RewardProgram> make_program() {
    auto program = std::make_unique<RewardProgram>(options_.program);
    if (!options_.stop_when_given_up) return program;
    const std::string trouble = program->trouble_at_start();
    if (trouble.empty()) return program;
    throw std::invalid_argument(
        "[config] reward.functions: " + program->name() +
        ": its program does not stay up: " + trouble);
  }

  void serve() {
    std::unique_ptr<RewardProgram> program;
    try {
      program = make_program();
    } catch (...) {
      broken_ = std::current_exception();
    }
    while (true) {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job(program.get());
    }
  }

  void end() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    ready_.notify_one();
    thread_.join();
  }

  const ProgramRewardOptions options_;
  std::exception_ptr broken_;  // why there is no program; set before the first job
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Job> jobs_;
  bool ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace

RewardFn program_reward(ProgramRewardOptions options) {
  auto thread = std::make_shared<ProgramThread>(std::move(options));
  return [thread](std::span<const Sample> samples) { return thread->score(samples); };
}

std::vector<std::string> environment_without(const std::vector<std::string>& hidden) {
  std::vector<std::string> environment;
  for (char** variable = environ; variable && *variable; ++variable) {
    const std::string text = *variable;
    const std::string name = text.substr(0, text.find('='));
    if (std::find(hidden.begin(), hidden.end(), name) != hidden.end()) continue;
    environment.push_back(text);
  }
  return environment;
}

}  // namespace pupil
