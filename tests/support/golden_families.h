// The tiny models of tests/golden that tools/make_golden.py makes, one of each family.

#pragma once

#include <string>
#include <vector>

namespace pupil::testing {

/// What is not Llama's block to the last detail.
inline std::vector<std::string> families_beyond_llama() {
  return {
      "mistral_window",
      "qwen3",
      "qwen3_moe",
      "gemma2",
      "gemma3_text",
      "phi3",
      "granite",
      "olmo2",
      "smollm3"};
}

/// Llama's block with each scaling of its rotary embedding, its near relatives, and
/// then those.
inline std::vector<std::string> all_families() {
  std::vector<std::string> all = {
      "llama", "llama_linear", "llama_yarn", "llama_dynamic", "mistral", "qwen2"};
  for (auto& name : families_beyond_llama()) all.push_back(std::move(name));
  return all;
}

}  // namespace pupil::testing
