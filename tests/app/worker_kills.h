// A caller whose worker is killed again and again: it starts another one, asks again
// for what was not answered, and loses nothing.

#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "app/tiny_student.h"
#include "app/worker_client.h"

namespace pupil::testing {

struct KillCounts {
  int answered = 0, doubled = 0, wrong = 0, kills = 0;
  int64_t grown_bytes = 0;  // of the caller, over the last three quarters
};

/// What a process holds in memory: this one, or the one with this number.
inline int64_t held_bytes(const std::string& process = "self") {
  std::ifstream file("/proc/" + process + "/statm");
  int64_t total = 0, resident = 0;
  EXPECT_TRUE(file >> total >> resident) << process;
  return resident * ::sysconf(_SC_PAGESIZE);
}

/// Asks `num_requests` of 20 kinds, up to 8 at once, and kills the worker after about
/// every 60th answer at a moment of chance.
class WorkerKills {
 public:
  explicit WorkerKills(const std::string& model) : model_(model) {
    WorkerClient worker({"generate", "--model", model_});
    for (int kind = 0; kind < kKinds; ++kind)
      expected_.push_back(worker.ask(request(kind))["completions"]);
  }

  KillCounts run(int num_requests) {
    std::mt19937 random(7);
    for (int id = 0; id < num_requests; ++id) waiting_.insert(id);
    int64_t early = 0;
    while (!waiting_.empty()) {
      if (early == 0 && counts_.answered >= num_requests / 4) early = held_bytes();
      if (!worker_) start();
      send_some();
      bool dies = random() % 60 == 0;
      if (dies) ::kill(worker_->child().pid(), SIGKILL), ++counts_.kills;
      take(worker_->receive(30));
      if (worker_->child().finished()) worker_.reset();
    }
    counts_.grown_bytes = held_bytes() - early;
    return counts_;
  }

 private:
  static constexpr int kKinds = 20;

  static nlohmann::json request(int id) {
    return {
        {"op", "generate"},
        {"id", id},
        {"input_ids", {2 + id % kKinds, 5, 9}},
        {"n", 2},
        {"max_tokens", 6},
        {"seed", id % kKinds}};
  }

  void start() {
    worker_ = std::make_unique<WorkerClient>(
        std::vector<std::string>{"generate", "--model", model_});
    asked_.clear();
  }

  void send_some() {
    for (int id : waiting_) {
      if (asked_.size() >= 8) return;
      if (!asked_.insert(id).second) continue;
      worker_->send(json_text(request(id)) + "\n");
    }
  }

  void take(const nlohmann::json& reply) {
    if (reply.is_null()) return;
    int id = reply["id"];
    counts_.doubled += waiting_.erase(id) == 0;
    asked_.erase(id);
    ++counts_.answered;
    counts_.wrong += reply["completions"] != expected_[id % kKinds];
  }

  std::string model_;
  std::vector<nlohmann::json> expected_;
  std::set<int> waiting_, asked_;  // ids without an answer; those sent to this worker
  std::unique_ptr<WorkerClient> worker_;
  KillCounts counts_;
};

inline size_t open_descriptors() {
  std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(all, {}));
}

inline void expect_nothing_lost(int num_requests) {
  TempDir folder;
  write_tiny_student(folder.path() / "model");
  size_t before = open_descriptors();
  auto counts = WorkerKills((folder.path() / "model").string()).run(num_requests);
  EXPECT_EQ(counts.answered, num_requests);
  EXPECT_EQ(counts.doubled, 0);
  EXPECT_EQ(counts.wrong, 0);
  EXPECT_GE(counts.kills, num_requests / 120);
  EXPECT_LT(counts.grown_bytes, 1 << 20);
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was left";
}

}  // namespace pupil::testing
