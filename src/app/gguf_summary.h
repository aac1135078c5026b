// What a written GGUF file holds, for the terminal.

#pragma once

#include <cstdio>
#include <string>

#include "models/gguf_export.h"

namespace pupil {

inline void print_gguf(const GgufExport& types, const std::string& path) {
  for (const auto& [type, tensors] : types)
    std::printf("%-6s %4d tensors\n", type.c_str(), tensors);
  std::printf("wrote %s\n", path.c_str());
}

}  // namespace pupil
