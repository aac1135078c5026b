// Thousands of requests to workers that are killed again and again.

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "app/machine.h"
#include "app/rollout_worker.h"
#include "app/tiny_student.h"
#include "app/worker_kills.h"
#include "models/lora.h"

namespace pupil::testing {
namespace {

constexpr int kRequests = 20000, kKinds = 50, kRows = 2;
constexpr int kKillEvery = 200;  // completions, about

/// Kills what this thread has started.
int kill_children() {
  std::ifstream children("/proc/thread-self/children");
  int kills = 0;
  for (pid_t child; children >> child;) kills += ::kill(child, SIGKILL) == 0;
  return kills;
}

Config worker_config(const std::filesystem::path& folder) {
  Config config;
  config.hardware.mlx_model_path = (folder / "model").string();
  config.logging.run_dir = (folder / "run").string();
  config.rollout.engine.backend = "worker";
  return config;
}

class Soak {
 public:
  explicit Soak(const std::filesystem::path& folder)
      : config_(worker_config(folder)),
        model_(load_model(config_.hardware.mlx_model_path)) {
    attach_lora(model_.decoder, config_.lora, 0);
    sampling_.max_tokens = 6;
    for (int kind = 0; kind < kKinds; ++kind)
      expected_.push_back(generate(model_, prompts(kind), kRows, sampling_));
    auto options = rollout_worker_options(config_);
    options.command[0] = PUPIL_EXECUTABLE;
    options.backoff_s = 0;
    worker_ = rollout_worker(config_, model_, options);
  }

  void ask(int kind) {
    int told = 0;
    WorkerEvents events;
    events.on_completion = [&](int, int, const Completion&) {
      ++told;
      if (random_() % kKillEvery == 0) kills += kill_children();
    };
    auto all = worker_->generate(model_, prompts(kind), kRows, sampling_, events);
    doubled += told - static_cast<int>(all.size()) * kRows;
    for (size_t p = 0; p < all.size(); ++p) {
      for (int row = 0; row < kRows; ++row) {
        const auto& expected = expected_[kind][p][row];
        bool same = all[p][row].tokens == expected.tokens &&
                    all[p][row].logprobs == expected.logprobs &&
                    all[p][row].text == expected.text;
        wrong += !same;
      }
    }
  }

  int kills = 0, doubled = 0, wrong = 0;

 private:
  static std::vector<Prompt> prompts(int kind) {
    return {{{2 + kind % 40, 5, 9}, uint64_t(kind)}, {{7, 8}, uint64_t(1000 + kind)}};
  }

  Config config_;
  Model model_;
  SamplingConfig sampling_;
  std::vector<std::vector<std::vector<Completion>>> expected_;
  std::shared_ptr<WorkerEngine> worker_;
  std::mt19937 random_{7};
};

}  // namespace

// The start of a worker costs a hundred times a request.
TEST(RolloutWorkerLong, TwentyThousandRequestsAcrossKillsAreTheEnginesOwn) {
  TempDir folder;
  write_tiny_student(folder.path() / "model");
  size_t descriptors = open_descriptors();
  {
    Soak soak(folder.path());
    for (int i = 0; i < kRequests / 4; ++i) soak.ask(i % kKinds);
    auto early = held_memory_bytes();
    for (int i = kRequests / 4; i < kRequests; ++i) soak.ask(i % kKinds);
    auto late = held_memory_bytes();
    EXPECT_EQ(soak.wrong, 0);
    EXPECT_EQ(soak.doubled, 0);
    EXPECT_GT(soak.kills, kRequests * 4 / kKillEvery / 2);
    EXPECT_LT(late, early + (1u << 20));
    std::printf(
        "%d requests, %d kills, memory %ld KB more\n",
        kRequests,
        soak.kills,
        (static_cast<long>(late) - static_cast<long>(early)) / 1024);
  }
  EXPECT_EQ(open_descriptors(), descriptors);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was left";
}

}  // namespace pupil::testing
