// What a run depends on, as checksums and names, for its checkpoints.

#pragma once

#include <filesystem>
#include <string>

#include "config/config.h"
#include "train/run_origin.h"

namespace pupil {

/// Reads every file of the model's directory once. Where the run is written and how
/// long it is to be do not count.
RunOrigin run_origin(const Config& config);

/// The same of a training run, whose data is read, too, and whose reference may be the
/// adapter that it starts from. `resolved` is a config that a Session was made of.
RunOrigin training_origin(const Config& resolved);

/// A checksum over the safetensors and JSON files of a model or adapter directory that
/// are not its tokenizer's, or over those that are.
std::string files_sha256(const std::filesystem::path& folder, bool of_tokenizer);

/// A checksum of what decides the answers and their scores in a config: a higher cap,
/// more patience with a teacher or more threads do not count.
std::string answers_sha256(const Config& config);

}  // namespace pupil
