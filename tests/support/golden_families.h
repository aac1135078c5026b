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

/// `first`, and then those.
inline std::vector<std::string> families_after(std::vector<std::string> first) {
  for (auto& name : families_beyond_llama()) first.push_back(std::move(name));
  return first;
}

}  // namespace pupil::testing
