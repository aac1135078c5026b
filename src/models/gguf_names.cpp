#include "models/gguf_names.h"

#include <array>
#include <utility>

namespace pupil {
namespace {

struct Names {
  std::string_view gguf, huggingface;
};

constexpr std::array kTopNames = {
    Names{"token_embd", "model.embed_tokens"},
    Names{"output_norm", "model.norm"},
    Names{"output", "lm_head"}};

constexpr std::array kLayerNames = {
    Names{"attn_norm", "input_layernorm"},
    Names{"ffn_norm", "post_attention_layernorm"},
    Names{"attn_q", "self_attn.q_proj"},
    Names{"attn_k", "self_attn.k_proj"},
    Names{"attn_v", "self_attn.v_proj"},
    Names{"attn_output", "self_attn.o_proj"},
    Names{"ffn_gate", "mlp.gate_proj"},
    Names{"ffn_up", "mlp.up_proj"},
    Names{"ffn_down", "mlp.down_proj"}};

template <size_t N>
std::optional<std::string> look_up(
    const std::array<Names, N>& names,
    std::string_view name,
    std::string_view Names::*from,
    std::string_view Names::*to) {
  for (const auto& row : names) {
    if (row.*from == name) return std::string(row.*to);
  }
  return std::nullopt;
}

// "3.attn_q" -> "3", "attn_q"; nothing where no number of up to four digits stands
// first.
std::optional<std::pair<std::string, std::string_view>> numbered(
    std::string_view name) {
  size_t end = name.find('.');
  if (end == name.npos || end == 0 || end > 4) return std::nullopt;
  std::string number(name.substr(0, end));
  if (number.find_first_not_of("0123456789") != number.npos) return std::nullopt;
  return std::pair{number, name.substr(end + 1)};
}

/// One of the two ways of writing names.
struct Style {
  std::string_view layers;  // before a block's number
  std::string_view Names::*module;
};

constexpr Style kGguf{"blk.", &Names::gguf};
constexpr Style kHuggingface{"model.layers.", &Names::huggingface};

std::optional<std::string> renamed(
    std::string_view name, const Style& from, const Style& to) {
  size_t dot = name.rfind('.');
  if (dot == name.npos) return std::nullopt;
  auto module = name.substr(0, dot);
  std::string suffix(name.substr(dot));
  if (suffix != ".weight" && suffix != ".bias") return std::nullopt;
  if (!module.starts_with(from.layers)) {
    auto found = look_up(kTopNames, module, from.module, to.module);
    return found ? std::optional(*found + suffix) : std::nullopt;
  }
  auto parts = numbered(module.substr(from.layers.size()));
  if (!parts) return std::nullopt;
  auto found = look_up(kLayerNames, parts->second, from.module, to.module);
  if (!found) return std::nullopt;
  return std::string(to.layers) + parts->first + "." + *found + suffix;
}

}  // namespace

std::optional<std::string> huggingface_name(std::string_view gguf) {
  return renamed(gguf, kGguf, kHuggingface);
}

std::optional<std::string> gguf_name(std::string_view huggingface) {
  return renamed(huggingface, kHuggingface, kGguf);
}

}  // namespace pupil
