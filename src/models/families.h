// The families of decoders: what a config.json leaves unsaid in each of them, and how
// their blocks differ.

#pragma once

#include <array>
#include <string_view>

#include "models/model_config.h"

namespace pupil {

/// Which layers see a window of `sliding_window` tokens where config.json has no
/// "layer_types".
enum class WindowRule {
  none,
  all,       // every layer, unless the window is null
  late,      // with "use_sliding_window", from "max_window_layers" on
  patterned  // all but every n-th: "sliding_window_pattern"
};

/// A family is a row of data; the decoder's code is the same for all.
struct Family {
  std::string_view model_type;
  bool attention_bias = false;   // default of "attention_bias": biases on q, k, v
  bool output_has_bias = false;  // "attention_bias" also means o
  bool tied_head = false;        // default of "tie_word_embeddings"
  WindowRule windows = WindowRule::none;
  int full_every = 0;  // default of "sliding_window_pattern"
  NormPlace norms = NormPlace::before;
  QueryNorm query_norm = QueryNorm::none;
  bool is_gemma = false;   // 1 + w norms, gelu, scaled embedding, query_pre_attn_scalar
  bool two_ropes = false;  // windowed layers have "rope_local_base_freq"
  bool fused_projections = false;    // qkv_proj, gate_up_proj
  bool has_unturned_layers = false;  // "no_rope_layers"
  bool has_multipliers = false;      // Granite's four
  bool has_experts = false;
  float attention_cap = 0, logit_cap = 0;  // defaults of the "*_logit_softcapping"
  int head_dim = 0;                        // default; 0: hidden_size / heads
  double rope_theta = 10000;               // default
};

inline constexpr std::array kFamilies = {
    Family{.model_type = "llama", .output_has_bias = true},
    Family{.model_type = "mistral", .windows = WindowRule::all},
    Family{.model_type = "qwen2", .attention_bias = true, .windows = WindowRule::late},
    Family{
        .model_type = "qwen3",
        .output_has_bias = true,
        .windows = WindowRule::late,
        .query_norm = QueryNorm::head,
        .head_dim = 128},
    Family{
        .model_type = "qwen3_moe",
        .output_has_bias = true,
        .query_norm = QueryNorm::head,
        .has_experts = true},
    Family{
        .model_type = "gemma2",
        .output_has_bias = true,
        .tied_head = true,
        .windows = WindowRule::patterned,
        .full_every = 2,
        .norms = NormPlace::both,
        .is_gemma = true,
        .attention_cap = 50,
        .logit_cap = 30,
        .head_dim = 256},
    Family{
        .model_type = "gemma3_text",
        .output_has_bias = true,
        .tied_head = true,
        .windows = WindowRule::patterned,
        .full_every = 6,
        .norms = NormPlace::both,
        .query_norm = QueryNorm::head,
        .is_gemma = true,
        .two_ropes = true,
        .head_dim = 256,
        .rope_theta = 1e6},
    Family{.model_type = "phi3", .windows = WindowRule::all, .fused_projections = true},
    Family{.model_type = "granite", .output_has_bias = true, .has_multipliers = true},
    Family{
        .model_type = "olmo2",
        .output_has_bias = true,
        .norms = NormPlace::after,
        .query_norm = QueryNorm::projection},
    Family{
        .model_type = "smollm3",
        .output_has_bias = true,
        .tied_head = true,
        .has_unturned_layers = true,
        .rope_theta = 2e6},
};

}  // namespace pupil
