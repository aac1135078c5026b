#include "models/model_source.h"

#include <sstream>
#include <stdexcept>

#include "base/quote.h"

namespace pupil {
namespace {

using Shapes = std::map<std::string, mx::Shape>;

void expect_linear(
    Shapes& shapes, const std::string& scope, int out, int in, bool has_bias) {
  shapes[scope + ".weight"] = {out, in};
  if (has_bias) shapes[scope + ".bias"] = {out};
}

void expect_attention(
    Shapes& shapes, const std::string& scope, const DecoderConfig& c) {
  int width = c.hidden_size, queries = c.num_heads * c.head_dim;
  int keys = c.num_kv_heads * c.head_dim;
  if (c.fused_projections) {
    expect_linear(shapes, scope + "qkv_proj", queries + 2 * keys, width, false);
  } else {
    expect_linear(shapes, scope + "q_proj", queries, width, c.attention_bias);
    expect_linear(shapes, scope + "k_proj", keys, width, c.attention_bias);
    expect_linear(shapes, scope + "v_proj", keys, width, c.attention_bias);
  }
  expect_linear(shapes, scope + "o_proj", width, queries, c.output_bias);
  if (c.query_norm == QueryNorm::none) return;
  bool by_head = c.query_norm == QueryNorm::head;
  shapes[scope + "q_norm.weight"] = {by_head ? c.head_dim : queries};
  shapes[scope + "k_norm.weight"] = {by_head ? c.head_dim : keys};
}

void expect_mlp(Shapes& shapes, const std::string& scope, const DecoderConfig& c) {
  int width = c.hidden_size, inner = c.intermediate_size;
  if (c.fused_projections) {
    expect_linear(shapes, scope + "gate_up_proj", 2 * inner, width, false);
  } else {
    expect_linear(shapes, scope + "gate_proj", inner, width, c.mlp_bias);
    expect_linear(shapes, scope + "up_proj", inner, width, c.mlp_bias);
  }
  expect_linear(shapes, scope + "down_proj", width, inner, c.mlp_bias);
}

void expect_experts(Shapes& shapes, const std::string& scope, const DecoderConfig& c) {
  int count = c.experts.count, width = c.hidden_size;
  int inner = c.experts.intermediate_size;
  expect_linear(shapes, scope + "gate", count, width, false);
  shapes[scope + "switch_mlp.gate_proj.weight"] = {count, inner, width};
  shapes[scope + "switch_mlp.up_proj.weight"] = {count, inner, width};
  shapes[scope + "switch_mlp.down_proj.weight"] = {count, width, inner};
}

void expect_layer(
    Shapes& shapes, const std::string& scope, const DecoderConfig& c, int layer) {
  auto norm = [&](const char* name, bool is_there) {
    if (is_there) shapes[scope + name + ".weight"] = {c.hidden_size};
  };
  bool before = c.norms != NormPlace::after, after = c.norms != NormPlace::before;
  norm("input_layernorm", before);
  norm("post_attention_layernorm", true);
  norm("pre_feedforward_layernorm", before && after);
  norm("post_feedforward_layernorm", after);
  expect_attention(shapes, scope + "self_attn.", c);
  auto expect_inner = c.layer(layer).is_sparse ? expect_experts : expect_mlp;
  expect_inner(shapes, scope + "mlp.", c);
}

}  // namespace

Shapes tensor_shapes(const DecoderConfig& config) {
  Shapes shapes;
  shapes["model.embed_tokens.weight"] = {config.vocab_size, config.hidden_size};
  shapes["model.norm.weight"] = {config.hidden_size};
  if (!config.tied_head) {
    shapes["lm_head.weight"] = {config.vocab_size, config.hidden_size};
  }
  for (int i = 0; i < config.num_layers; ++i) {
    expect_layer(shapes, "model.layers." + std::to_string(i) + ".", config, i);
  }
  return shapes;
}

namespace {

std::string text_of(const mx::Shape& shape) {
  std::ostringstream text;
  text << '[';
  for (size_t i = 0; i < shape.size(); ++i) text << (i ? ", " : "") << shape[i];
  text << ']';
  return text.str();
}

}  // namespace

void check_tensors(
    const std::vector<SourceTensor>& tensors,
    const DecoderConfig& config,
    const std::string& source) {
  auto fail = [&](const std::string& what) {
    throw std::invalid_argument("[convert] " + source + ": " + what);
  };
  const auto shapes = tensor_shapes(config);
  auto missing = shapes;
  for (const auto& tensor : tensors) {
    auto expected = shapes.find(tensor.name);
    if (expected == shapes.end()) {
      fail("tensor " + in_quotes(tensor.name) + " has no place in this model");
    }
    if (expected->second != tensor.shape) {
      fail(
          "shape of " + in_quotes(tensor.name) + ", expected " +
          text_of(expected->second) + " from the configuration, got " +
          text_of(tensor.shape));
    }
    if (missing.erase(tensor.name) == 0) {
      fail("tensor " + in_quotes(tensor.name) + " comes twice");
    }
  }
  if (!missing.empty()) {
    fail("tensor " + in_quotes(missing.begin()->first) + " is missing");
  }
}

}  // namespace pupil
