// `rollout.backend: worker`: a process of this program that samples.

#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "config/config.h"
#include "models/model.h"
#include "rollout/worker_engine.h"

namespace pupil {

/// How this program is started as a worker of the config's model.
WorkerOptions rollout_worker_options(const Config& config);

/// A worker for `model`, with the adapter that the config asks for, which nothing has
/// started yet; null where the config samples in this process.
std::shared_ptr<WorkerEngine> rollout_worker(
    const Config& config, const Model& model, WorkerOptions options);
std::shared_ptr<WorkerEngine> rollout_worker(const Config& config, const Model& model);

/// What tells a model's files from others, checksums by name. Reads all of them.
nlohmann::ordered_json model_fingerprint(const std::string& folder);

/// "worker: 3 starts (1.2 s), 8.1 MB of adapters in 0.3 s, 0.4 MB of messages".
std::string worker_text(const WorkerCosts& costs);

}  // namespace pupil
