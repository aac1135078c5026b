// From a Config to the parts of a run: the only place that knows every type.

#pragma once

#include <memory>
#include <vector>

#include "config/config.h"
#include "models/model.h"
#include "reward/reward.h"
#include "rollout/generator.h"
#include "train/stages.h"
#include "train/trainer.h"

namespace pupil {

class Teacher;
class WorkerEngine;

/// A task as the student reads it.
struct AskedTask {
  Task task;
  std::vector<int> tokens;
};

/// The parts of a run, which refer to each other: neither copied nor moved.
struct Session {
  Config config;                         // resolved
  std::shared_ptr<Teacher> teacher;      // null: none is configured
  Model model;                           // with its adapter
  std::shared_ptr<WorkerEngine> worker;  // that samples; null: this process does
  std::vector<AskedTask> train_tasks, eval_tasks;
  std::vector<RewardFunction> rewards;
  Stages stages;       // of training: the samples are the student's or the teacher's
  Stages eval_stages;  // of evaluations, which measure the student whoever teaches it

  explicit Session(const Config& config);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// The held-out tasks as groups to be sampled.
  std::vector<RolloutGroup> eval_groups() const;
};

/// The config with what follows from other settings filled in, its method's among them.
/// Throws std::invalid_argument where settings do not fit together.
Config resolved(Config config);

/// The model of `hardware.mlx_model_path` on its device, with the adapter to be
/// trained.
Model loaded_model(const Config& config);

/// rollout.kv_bits as Decoder takes it. Throws std::invalid_argument for other than 0
/// and 8.
int kv_bits_of(const Config& config);

/// The key of the held-out task `index`: evaluation's random streams are none of
/// training's, and the same in a run and in `pupil eval`.
uint64_t eval_key(size_t index);

/// The settings of the training side.
TrainerConfig trainer_config(const Config& resolved);
/// What a microbatch's activations may take of the memory that is free now, in bytes,
/// before blocks are computed again instead.
int64_t activation_budget();
LearnerConfig learner_config(const Config& resolved);
/// The reference of `model.ref_model_path` and `ref_adapter_path`; null: neither is
/// set, and it is the student under the adapter of `adapter_path`, if any. Throws
/// std::invalid_argument if it reads another vocabulary than the student.
std::shared_ptr<const Decoder> own_reference(const Session& session);
SamplingConfig sampling_config(const Config& config);

/// Sets the device and the number of threads. Throws std::invalid_argument if there is
/// no such device.
void choose_hardware(const HardwareConfig& config);

}  // namespace pupil
