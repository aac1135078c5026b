// The engine in a process of its own: `pupil worker generate`
// (docs/worker_protocol.md), started by the first call, given the adapter whenever it
// has changed, asked for samples, and started again when it fails. A request carries
// its seeds, so that whoever answers it, and however often it is asked, the samples are
// those of `generate`: on a CPU the same bits.

#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "rollout/adapter_handover.h"
#include "rollout/generator.h"
#include "rollout/worker_process.h"
#include "rollout/worker_samples.h"

namespace pupil {

/// What handing over took so far.
struct WorkerCosts {
  int64_t adapter_bytes = 0, message_bytes = 0;  // written; sent and received
  double adapter_s = 0;                          // until the worker had loaded it
  double start_s = 0;                            // of all starts
  int starts = 0;
};

/// All calls come from one thread, which outlives it: on Linux the process is killed
/// when that thread ends.
class WorkerEngine {
 public:
  /// `fingerprint`: what the worker is to say of the model's files. Starts nothing yet.
  WorkerEngine(
      WorkerOptions options,
      nlohmann::json fingerprint,
      std::filesystem::path adapters,
      std::string adapter_config);

  /// `pupil::generate` by the worker. Throws std::invalid_argument for what that call
  /// refuses, and if the worker is of another program or model; std::runtime_error if
  /// sampling fails there, or the worker has failed `max_failures` times in a row; and
  /// what `events` throw: then the process is ended, and the next call starts another.
  std::vector<std::vector<Completion>> generate(
      const Model& model,
      std::span<const Prompt> prompts,
      int n,
      const SamplingConfig& sampling,
      const WorkerEvents& events = {});

  /// Has a worker that is of this program and model. Throws as `generate`.
  void start(const Model& model);

  const WorkerCosts& costs() const { return costs_; }
  /// The most memory that a worker said it had, in bytes.
  uint64_t peak_memory_bytes() const { return peak_memory_bytes_; }

 private:
  void until_done(const std::function<void()>& work);
  void count_failure(const std::string& what);
  void bring_up(const Model& model);
  void hand_over(const Model& model);
  void sample(const nlohmann::ordered_json& request, WorkerSamples& samples);
  int64_t ask(const char* op, const nlohmann::ordered_json& fields);
  nlohmann::json reply_to(const char* op, const nlohmann::ordered_json& fields);
  std::string receive();

  WorkerOptions options_;
  nlohmann::json fingerprint_;
  AdapterHandover adapters_;
  std::unique_ptr<WorkerProcess> process_;
  std::filesystem::path loaded_;  // by this process
  int64_t next_id_ = 1;
  bool owes_answer_ = false;  // this process
  int failures_ = 0;          // in a row
  WorkerCosts costs_;
  uint64_t peak_memory_bytes_ = 0;
};

}  // namespace pupil
