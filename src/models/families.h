// The families of decoders: what a config.json leaves unsaid in each of them.

#pragma once

#include <array>
#include <string_view>

namespace pupil {

/// A family is a row of data; the decoder's code is the same for all.
struct Family {
  std::string_view model_type;
  bool attention_bias;   // default of "attention_bias": biases on q, k, v
  bool output_has_bias;  // "attention_bias" also means o
  bool window_by_flag;   // "sliding_window" counts only with "use_sliding_window"
};

inline constexpr std::array kFamilies = {
    Family{"llama", false, true, false},
    Family{"mistral", false, false, false},
    Family{"qwen2", true, false, true},
};

}  // namespace pupil
