// Parses YAML that nobody has checked: bounded in size and depth, without aliases (a
// few lines of which can stand for gigabytes), one document.

#pragma once

#include <yaml-cpp/yaml.h>

#include <string>

namespace pupil {

/// What is wrong with a config, and where in its text. Becomes a one-line error of the
/// config file or of the command line.
struct ConfigProblem {
  YAML::Mark mark;  // line counts from 0; negative where it is unknown
  std::string text;
};

/// Returns the document's root, null for an empty text. Throws ConfigProblem.
YAML::Node parse_yaml(const std::string& text);

}  // namespace pupil
