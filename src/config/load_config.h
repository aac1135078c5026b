// From a YAML file and `--section.key=value` arguments to a Config, and back to YAML.

#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"

namespace pupil {

/// The defaults, changed by the YAML file at `path` (an empty path: by none), then by
/// `overrides` in order: "--section.key=value", or "--section.key" and "value" as two
/// elements. A value for a list is YAML: "--rollout.stop=[a, b]".
///
/// Throws std::invalid_argument "[config] file:line: ..." for what is wrong in the file
/// (unknown or repeated keys, wrong types, values out of range, no such file), and
/// UsageError for what is wrong in an override.
Config load_config(const std::string& path, std::span<const std::string> overrides);

/// The whole config as YAML with each key's help as a comment; load_config reads it
/// back as the same Config.
std::string dump_yaml(const Config& config);

/// Every key and its value as text, in the order of the YAML.
std::vector<std::pair<std::string, std::string>> config_values(const Config& config);

/// The reference of every key, in Markdown: docs/config.md.
std::string config_markdown();

}  // namespace pupil
