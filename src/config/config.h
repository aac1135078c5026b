// The whole configuration of a run. Each component declares its own struct next to its
// code and receives only that struct; this file, alone, knows them all.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/fields.h"
#include "data/data_config.h"
#include "models/lora_config.h"
#include "reward/reward_config.h"
#include "reward/sandbox_config.h"
#include "reward/teacher_config.h"
#include "rollout/rollout_config.h"
#include "train/train_config.h"

namespace pupil {

struct HardwareConfig {
  std::string device = "auto";
  int threads = 0;
  double memory_limit_gb = 0;
  std::string mlx_model_path = "./mlx_model/q4";
  bool use_mlx_for_generation = true;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("device", self.device, "where the maths runs", Choices{"auto|cpu|gpu"});
    f("threads", self.threads, "CPU threads; 0: one per core", kNotNegative);
    f("memory_limit_gb",
      self.memory_limit_gb,
      "MLX's memory limit in GB of 10^9 bytes (docs/training.md); 0: nine tenths of "
      "what "
      "is free at the start, on a GPU MLX's own",
      kNotNegative);
    f("mlx_model_path",
      self.mlx_model_path,
      "MLX model directory for sampling and training");
    f("use_mlx_for_generation",
      self.use_mlx_for_generation,
      "false: the teacher writes the samples");
  }
};

struct ModelConfig {
  std::optional<std::string> adapter_path;
  std::optional<std::string> ref_model_path;
  std::optional<std::string> ref_adapter_path;
  std::optional<std::string> system_prompt;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("adapter_path", self.adapter_path, "adapter to start from; default: a fresh one");
    f("ref_model_path",
      self.ref_model_path,
      "MLX model directory of the reference of the KL and of preferences; default: the "
      "student's");
    f("ref_adapter_path",
      self.ref_adapter_path,
      "adapter of the reference, which stays as it is; default: adapter_path, with "
      "ref_model_path none");
    f("system_prompt",
      self.system_prompt,
      "system message of every prompt; default: the chat template's own");
  }
};

struct Config {
  uint64_t seed = 0;
  HardwareConfig hardware;
  ModelConfig model;
  DataConfig data;
  RolloutConfig rollout;
  RewardConfig reward;
  SandboxConfig sandbox;
  TeacherConfig teacher;
  TrainConfig train;
  LoraConfig lora;
  LoggingConfig logging;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("seed", self.seed, "of every random choice");
    f("hardware", self.hardware);
    f("model", self.model);
    f("data", self.data);
    f("rollout", self.rollout);
    f("reward", self.reward);
    f("sandbox", self.sandbox);
    f("teacher", self.teacher);
    f("train", self.train);
    f("lora", self.lora);
    f("logging", self.logging);
  }
};

}  // namespace pupil
