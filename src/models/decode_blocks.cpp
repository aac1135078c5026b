#include "models/decode_blocks.h"

namespace pupil {

namespace {

bool can_fuse(const Linear& linear) {
  return !linear.base.scales || has_cpu_kernel(linear.base.packed());
}

bool can_fuse(const DecoderLayer& layer) {
  const auto& a = layer.self_attn;
  const auto& m = layer.mlp;
  for (const auto* linear :
       {&a.q_proj,
        &a.k_proj,
        &a.v_proj,
        &a.o_proj,
        &m.gate_proj,
        &m.up_proj,
        &m.down_proj}) {
    if (!can_fuse(*linear)) return false;
  }
  return true;
}

mx::array evaluated(const mx::array& x) {
  auto whole = cpu::in_row_order(x);
  whole.eval();
  return whole;
}

mx::array floats(const mx::array& x) {
  return evaluated(mx::astype(x, mx::float32));
}

cpu::BlockLinear block_linear(const Linear& linear) {
  const auto& base = linear.base;
  std::vector<mx::array> weight = {evaluated(base.weight)};
  cpu::WeightFormat format;
  if (base.scales) {
    format = {base.quantization.group_size, base.quantization.bits, true};
    weight.push_back(evaluated(*base.scales));
    weight.push_back(evaluated(*base.quant_biases));
  }
  std::optional<mx::array> bias;
  if (linear.bias) bias = floats(*linear.bias);
  std::optional<LowRank> low_rank;
  if (linear.lora) {
    const auto& lora = *linear.lora;
    low_rank = LowRank{floats(lora.a), floats(lora.b), lora.scale};
  }
  return {std::move(weight), format, bias, low_rank, linear.in, linear.out};
}

cpu::BlockWeights block_weights(
    const DecoderLayer& layer, const DecoderConfig& config) {
  const auto& a = layer.self_attn;
  const auto& m = layer.mlp;
  return {
      floats(layer.input_layernorm.weight),
      floats(layer.post_attention_layernorm.weight),
      config.norm_eps,
      block_linear(a.q_proj),
      block_linear(a.k_proj),
      block_linear(a.v_proj),
      block_linear(a.o_proj),
      block_linear(m.gate_proj),
      block_linear(m.up_proj),
      block_linear(m.down_proj),
      config.num_heads,
      config.num_kv_heads,
      config.head_dim};
}

}  // namespace

DecodeBlocks decode_blocks(const Decoder& model) {
  DecodeBlocks blocks;
  if (!cpu::on_cpu() || model.dtype != mx::float32) return blocks;
  for (const auto& layer : model.model.layers) {
    if (!can_fuse(layer)) return {};
    blocks.push_back(
        std::make_shared<const cpu::BlockWeights>(block_weights(layer, model.config)));
  }
  return blocks;
}

}  // namespace pupil
