#include "nn/layers.h"

#include <algorithm>

namespace pupil {

namespace {

bool is_quantized(const Checkpoint& checkpoint, const std::string& scope) {
  return checkpoint.contains(scope + ".scales");
}

// The shape of `scope`.weight on disk.
mx::Shape stored_shape(
    const Checkpoint& checkpoint, const std::string& scope, int out, int in) {
  if (!is_quantized(checkpoint, scope)) return {out, in};
  auto [group_size, bits, mode] = checkpoint.quantization(scope);
  if (in % group_size != 0 || in * bits % 32 != 0) {
    checkpoint.fail(
        "'" + scope + "' has " + std::to_string(in) +
        " inputs, which do not divide into groups of " + std::to_string(group_size));
  }
  return {out, in * bits / 32};
}

// The packed weight of these codes, which were taken already.
QuantizedWeight with_scales(
    Checkpoint& checkpoint, const std::string& scope, const mx::array& codes, int in) {
  auto [group_size, bits, mode] = checkpoint.quantization(scope);
  bool affine = mode == QuantMode::affine;
  mx::Shape groups = {codes.shape(0), in / group_size};
  auto scales = checkpoint.take(
      scope + ".scales", groups, affine ? mx::floating : mx::unsignedinteger);
  std::optional<mx::array> biases;
  if (affine) biases = checkpoint.take(scope + ".biases", groups);
  QuantizedWeight packed{codes, scales, biases, group_size, bits, false, 0, mode};
  check_weight(packed);
  return packed;
}

}  // namespace

mx::array dropped(const mx::array& x, const Lora& lora) {
  float kept = 1.0f - lora.dropout;
  auto mask = mx::random::bernoulli(mx::array(kept), x.shape(), lora.dropout_key);
  return x * (mx::astype(mask, x.dtype()) * mx::array(1.0f / kept, x.dtype()));
}

Weight::Weight(Checkpoint& checkpoint, const std::string& scope, int out, int in)
    : weight(checkpoint.take(
          scope + ".weight",
          stored_shape(checkpoint, scope, out, in),
          is_quantized(checkpoint, scope) ? mx::unsignedinteger : mx::floating)) {
  if (!is_quantized(checkpoint, scope)) return;
  was_packed = true;
  auto stored = with_scales(checkpoint, scope, weight, in);
  if (is_kept_unpacked(stored)) {
    weight = unpacked(stored);
    weight.eval();
    return;
  }
  auto ready = prepared(stored);
  weight = ready.packed;
  scales = ready.scales;
  quant_biases = ready.biases;
  quantization = {ready.group_size, ready.bits, ready.mode};
  tiled_out = ready.out;
}

QuantizedWeight Weight::packed() const {
  return {
      weight,
      *scales,
      quant_biases,
      quantization.group_size,
      quantization.bits,
      tiled_out != 0,
      tiled_out,
      quantization.mode};
}

mx::array Weight::operator()(
    const mx::array& x, const std::optional<Lora>& lora) const {
  if (!lora) return scales ? quantized_linear(x, packed()) : linear(x, weight);
  LowRank term{lora->a, lora->b, lora->scale};
  return scales ? quantized_linear(x, packed(), term) : linear(x, weight, term);
}

mx::array Weight::rows(const mx::array& ids, mx::Dtype dtype) const {
  if (scales) return quantized_rows(packed(), ids, dtype);
  return mx::astype(mx::take(weight, ids, 0), dtype);
}

Linear::Linear(
    Checkpoint& checkpoint, const std::string& scope, int out, int in, bool has_bias)
    : base(checkpoint, scope, out, in), out(out), in(in) {
  if (has_bias) bias = checkpoint.take(scope + ".bias", {out});
}

mx::array Linear::operator()(const mx::array& x) const {
  if (!lora || !lora->dropout_key) return finished(base(x, lora));
  auto term = low_rank_term(dropped(x, *lora), {lora->a, lora->b, lora->scale});
  return finished(base(x) + mx::astype(term, x.dtype()));
}

mx::array Linear::finished(const mx::array& y) const {
  auto scaled = y;
  if (lora && lora->magnitude) {
    const auto& length = *lora->magnitude;
    scaled = y * mx::astype(length.m / length.norm, y.dtype());
  }
  return bias ? scaled + mx::astype(*bias, y.dtype()) : scaled;
}

std::vector<mx::array> together(
    const mx::array& x, const std::vector<const Linear*>& linears) {
  std::vector<mx::array> outputs;
  bool all_adapted = std::all_of(linears.begin(), linears.end(), [](const Linear* l) {
    return l->base.scales && l->lora && !l->lora->dropout_key;
  });
  if (!all_adapted) {
    for (const auto* linear : linears) outputs.push_back((*linear)(x));
    return outputs;
  }
  std::vector<QuantizedWeight> weights;
  std::vector<LowRank> terms;
  for (const auto* linear : linears) {
    weights.push_back(linear->base.packed());
    terms.push_back({linear->lora->a, linear->lora->b, linear->lora->scale});
  }
  outputs = quantized_linears(x, weights, terms);
  for (size_t i = 0; i < linears.size(); ++i)
    outputs[i] = linears[i]->finished(outputs[i]);
  return outputs;
}

}  // namespace pupil
