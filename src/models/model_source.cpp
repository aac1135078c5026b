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

void expect_layer(Shapes& shapes, const std::string& scope, const DecoderConfig& c) {
  int width = c.hidden_size, queries = c.num_heads * c.head_dim;
  int keys = c.num_kv_heads * c.head_dim;
  shapes[scope + "input_layernorm.weight"] = {width};
  shapes[scope + "post_attention_layernorm.weight"] = {width};
  auto attention = scope + "self_attn.", mlp = scope + "mlp.";
  expect_linear(shapes, attention + "q_proj", queries, width, c.attention_bias);
  expect_linear(shapes, attention + "k_proj", keys, width, c.attention_bias);
  expect_linear(shapes, attention + "v_proj", keys, width, c.attention_bias);
  expect_linear(shapes, attention + "o_proj", width, queries, c.output_bias);
  expect_linear(shapes, mlp + "gate_proj", c.intermediate_size, width, c.mlp_bias);
  expect_linear(shapes, mlp + "up_proj", c.intermediate_size, width, c.mlp_bias);
  expect_linear(shapes, mlp + "down_proj", width, c.intermediate_size, c.mlp_bias);
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
    expect_layer(shapes, "model.layers." + std::to_string(i) + ".", config);
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
