// What the two kinds of `pupil worker` do (docs/worker_protocol.md).

#pragma once

#include <memory>

#include "app/worker_loop.h"
#include "config/config.h"
#include "models/model.h"
#include "rollout/generator.h"
#include "train/learner.h"

namespace pupil {

/// "generate", "load_adapters" and "fingerprint".
class GenerateWorker {
 public:
  /// `model` has no adapter. `engine`: how many rows decode together, and in which
  /// memory.
  GenerateWorker(Model& model, const SamplingConfig& engine)
      : model_(model), plain_(model.decoder), engine_(engine) {}

  /// Puts the adapter of this directory on the model as it was loaded, in place of
  /// another. Throws as pupil::load_adapters, and changes nothing then.
  void use_adapter(const std::string& path);

  WorkerOps ops();

 private:
  nlohmann::ordered_json generate(
      const nlohmann::json& request, const TellMessage& tell) const;
  nlohmann::ordered_json load_adapters(const nlohmann::json& request);

  Model& model_;
  // As it was loaded: an adapter of kind "full" replaces weights. It shares the others.
  const Decoder plain_;
  SamplingConfig engine_;
};

/// One sample of a "train_step", checked.
struct GivenSample {
  std::vector<int> prompt, tokens;
  double advantage = 0;
  std::vector<float> old_logprobs, ref_logprobs;  // [tokens]; empty: not given
};

/// Of the samples of one "train_step".
struct StepSums {
  double loss = 0, policy_loss = 0;
  PolicyMetrics metrics;
};

/// "train_step", "save_adapters" and "load_adapters".
class TrainWorker {
 public:
  /// `model` has no adapter and gets the one that `config`, resolved, asks for.
  TrainWorker(Model& model, const Config& config);
  WorkerOps ops();

 private:
  nlohmann::ordered_json train_step(const nlohmann::json& request);
  nlohmann::ordered_json save_adapters(const nlohmann::json& request) const;
  nlohmann::ordered_json load_adapters(const nlohmann::json& request);
  StepSums accumulate(
      const std::vector<GivenSample>& samples, const StepTotals& totals);
  double sum_norm();
  void begin();

  Model& model_;
  const Decoder plain_;  // as it was loaded
  const Config& config_;
  LoraConfig lora_;
  std::unique_ptr<Learner> learner_;
};

/// The text of `request`'s "path". Throws std::invalid_argument where there is none.
std::string path_of(const nlohmann::json& request);

}  // namespace pupil
