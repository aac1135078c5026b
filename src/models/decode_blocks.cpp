#include "models/decode_blocks.h"

#include "models/attend.h"

namespace pupil {

namespace {

bool can_fuse(const Linear& linear) {
  if (linear.lora && linear.lora->magnitude) return false;
  return !linear.base.scales || has_cpu_kernel(linear.base.packed());
}

// Whether every block's maths is that of the kernel.
bool is_plain(const DecoderConfig& c, int most_tokens) {
  for (int i = 0; i < c.num_layers; ++i) {
    auto layer = c.layer(i);
    if (layer.rope != LayerRope::global || layer.is_sparse) return false;
    if (!attention_rule(c, i).is_plain(most_tokens)) return false;
  }
  bool turns_whole_heads = 2 * static_cast<int>(c.rope_periods.size()) == c.head_dim;
  return turns_whole_heads && c.norms == NormPlace::before && !c.norms_add_one &&
         c.query_norm == QueryNorm::none && !c.fused_projections && !c.uses_gelu &&
         c.residual_scale == 1;
}

bool can_fuse(const DecoderLayer& layer) {
  const auto& a = layer.self_attn;
  const auto& m = *layer.mlp;
  for (const auto* linear :
       {&*a.q_proj,
        &*a.k_proj,
        &*a.v_proj,
        &a.o_proj,
        &*m.gate_proj,
        &*m.up_proj,
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

// The adapters' A of linears of one input: views of one matrix, in which they lie side
// by side, so that the kernels multiply them at once.
std::vector<mx::array> joined_downs(const std::vector<const Linear*>& linears) {
  std::vector<mx::array> downs, views;
  for (const auto* linear : linears)
    if (linear->lora) downs.push_back(mx::astype(linear->lora->a, mx::float32));
  if (downs.empty()) return {};
  auto joined = evaluated(mx::concatenate(downs, 1));
  int first = 0;
  for (const auto& down : downs) {
    int end = first + down.shape(1);
    views.push_back(mx::slice(joined, {0, first}, {down.shape(0), end}));
    views.back().eval();
    first = end;
  }
  return views;
}

cpu::BlockLinear block_linear(
    const Linear& linear, const std::optional<mx::array>& down) {
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
  if (down) low_rank = LowRank{*down, floats(linear.lora->b), linear.lora->scale};
  return {std::move(weight), format, bias, low_rank, linear.in, linear.out};
}

std::vector<cpu::BlockLinear> block_linears(const std::vector<const Linear*>& linears) {
  auto downs = joined_downs(linears);
  auto next = downs.begin();
  std::vector<cpu::BlockLinear> blocks;
  for (const auto* linear : linears)
    blocks.push_back(
        block_linear(*linear, linear->lora ? std::optional(*next++) : std::nullopt));
  return blocks;
}

cpu::BlockWeights block_weights(
    const DecoderLayer& layer, const DecoderConfig& config) {
  const auto& a = layer.self_attn;
  const auto& m = *layer.mlp;
  auto qkv = block_linears({&*a.q_proj, &*a.k_proj, &*a.v_proj});
  auto gate_up = block_linears({&*m.gate_proj, &*m.up_proj});
  return {
      floats(layer.attention_in->weight),
      floats(layer.mlp_in->weight),
      config.norm_eps,
      qkv[0],
      qkv[1],
      qkv[2],
      block_linears({&a.o_proj})[0],
      gate_up[0],
      gate_up[1],
      block_linears({&m.down_proj})[0],
      config.num_heads,
      config.num_kv_heads,
      config.head_dim};
}

}  // namespace

DecodeBlocks decode_blocks(const Decoder& model, int most_tokens) {
  DecodeBlocks blocks;
  if (!cpu::on_cpu() || model.dtype != mx::float32) return blocks;
  if (!is_plain(model.config, most_tokens)) return blocks;
  for (const auto& layer : model.model.layers) {
    if (!can_fuse(layer)) return {};
    blocks.push_back(
        std::make_shared<const cpu::BlockWeights>(block_weights(layer, model.config)));
  }
  return blocks;
}

}  // namespace pupil
