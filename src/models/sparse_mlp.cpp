#include "models/sparse_mlp.h"

#include <vector>

namespace pupil {

namespace {

// The dense weights of one linear of all experts, [X, out, in], from either layout.
mx::array take_experts(
    Checkpoint& checkpoint,
    const std::string& scope,
    const std::string& name,
    const mx::Shape& shape) {
  if (!checkpoint.contains(scope + ".experts.0." + name))
    return checkpoint.take(scope + ".switch_mlp." + name, shape);
  std::vector<mx::array> each;
  for (int i = 0; i < shape[0]; ++i)
    each.push_back(checkpoint.take(
        scope + ".experts." + std::to_string(i) + "." + name, {shape[1], shape[2]}));
  return mx::stack(each, 0);
}

}  // namespace

ExpertLinear::ExpertLinear(
    Checkpoint& checkpoint,
    const std::string& scope,
    const std::string& name,
    int count,
    int out,
    int in)
    : weight(0.0f), count(count), out(out), in(in) {
  auto module = scope + ".switch_mlp." + name;
  if (!checkpoint.contains(module + ".scales")) {
    weight = take_experts(checkpoint, scope, name + ".weight", {count, out, in});
    return;
  }
  quantization = checkpoint.quantization(module);
  auto [group_size, bits, mode] = quantization;
  if (in % group_size != 0 || in * bits % 32 != 0)
    checkpoint.fail(
        "'" + module + "' has " + std::to_string(in) +
        " inputs, which do not divide into groups of " + std::to_string(group_size));
  weight = checkpoint.take(
      module + ".weight", {count, out, in * bits / 32}, mx::unsignedinteger);
  mx::Shape groups = {count, out, in / group_size};
  bool affine = mode == QuantMode::affine;
  scales = checkpoint.take(
      module + ".scales", groups, affine ? mx::floating : mx::unsignedinteger);
  if (affine) quant_biases = checkpoint.take(module + ".biases", groups);
}

mx::array ExpertLinear::operator()(const mx::array& x, const mx::array& chosen) const {
  auto y = base(x, chosen);
  if (!lora) return y;
  auto seen = mx::astype(lora->dropout_key ? dropped(x, *lora) : x, mx::float32);
  auto multiplied = [&](const mx::array& v, const mx::array& matrices) {
    return mx::gather_mm(v, mx::swapaxes(matrices, -1, -2), std::nullopt, chosen);
  };
  auto term = multiplied(multiplied(seen, lora->a), lora->b);
  return y + mx::astype(mx::array(lora->scale) * term, x.dtype());
}

mx::array ExpertLinear::base(const mx::array& x, const mx::array& chosen) const {
  if (!scales) {
    auto columns = mx::swapaxes(mx::astype(weight, x.dtype()), -1, -2);
    return mx::gather_mm(x, columns, std::nullopt, chosen);
  }
  auto [group_size, bits, mode] = quantization;
  std::optional<mx::array> biases;
  if (quant_biases) biases = mx::astype(*quant_biases, x.dtype());
  auto y = mx::gather_qmm(
      x,
      weight,
      biases ? mx::astype(*scales, x.dtype()) : *scales,
      biases,
      std::nullopt,
      chosen,
      true,
      group_size,
      bits,
      mode_name(mode));
  return mx::astype(y, x.dtype());
}

SwitchMlp::SwitchMlp(
    Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& c)
    : gate_proj(
          checkpoint,
          scope,
          "gate_proj",
          c.experts.count,
          c.experts.intermediate_size,
          c.hidden_size),
      up_proj(
          checkpoint,
          scope,
          "up_proj",
          c.experts.count,
          c.experts.intermediate_size,
          c.hidden_size),
      down_proj(
          checkpoint,
          scope,
          "down_proj",
          c.experts.count,
          c.hidden_size,
          c.experts.intermediate_size) {}

SparseMlp::SparseMlp(
    Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& c)
    : gate(checkpoint, scope + ".gate", c.experts.count, c.hidden_size, false),
      switch_mlp(checkpoint, scope, c),
      per_token(c.experts.per_token),
      norm_topk_prob(c.experts.norm_topk_prob) {}

mx::array SparseMlp::operator()(const mx::array& x) const {
  auto shares = mx::softmax(mx::astype(gate(x), mx::float32), -1, true);  // [N, X]
  auto ranked = mx::argpartition(mx::negative(shares), per_token - 1, 1);
  auto chosen =
      mx::stop_gradient(mx::slice(ranked, {0, 0}, {x.shape(0), per_token}));  // [N, P]
  auto weights = mx::take_along_axis(shares, chosen, 1);
  if (norm_topk_prob) weights = weights / mx::sum(weights, 1, true);
  auto inner = mx::expand_dims(x, {1, 2});  // [N, 1, 1, D]
  auto hidden =
      swiglu(switch_mlp.gate_proj(inner, chosen), switch_mlp.up_proj(inner, chosen));
  auto outs = mx::squeeze(switch_mlp.down_proj(hidden, chosen), 2);  // [N, P, D]
  auto shared = mx::expand_dims(mx::astype(weights, x.dtype()), 2);
  return mx::sum(outs * shared, 1);
}

}  // namespace pupil
