// A linear with a low-rank term as one operation.

#include <stdexcept>

#include "ops/cpu/adapted_gradient.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/linear_primitive.h"
#include "ops/cpu/weight_matrix.h"

namespace pupil::cpu {
namespace {

// The weight's inputs of a primitive, behind x: one array if dense, three if packed.
using Weights = std::vector<mx::array>;

/// y = x W^T + scale (x A) B. Inputs: x, the weight's, A, B.
class AdaptedProduct : public CpuPrimitive {
 public:
  AdaptedProduct(mx::Stream stream, const WeightFormat& format, float scale)
      : CpuPrimitive(stream), format_(format), scale_(scale) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    dispatch(inputs, outputs, [s = format_, scale = scale_](const auto& in, auto& out) {
      run(s, scale, in, out[0]);
    });
  }

  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>&) override {
    int a = static_cast<int>(primals.size()) - 2, b = a + 1;
    Weights weights(primals.begin() + 1, primals.end() - 2);
    auto all = adapted_gradient(
        {primals[0], weights, primals[a], primals[b]}, cotangents[0], format_, scale_);
    std::vector<mx::array> gradients;
    for (int i : argnums) {
      if (i != 0 && i != a && i != b)
        throw std::invalid_argument("[linear] the weight under an adapter is frozen");
      gradients.push_back(i == 0 ? all.x : i == a ? all.a : all.b);
    }
    return gradients;
  }

  const char* name() const override { return "AdaptedProduct"; }
  bool is_equivalent(const mx::Primitive& other) const override {
    const auto& that = static_cast<const AdaptedProduct&>(other);
    return that.format_ == format_ && that.scale_ == scale_;
  }

  static mx::array make(
      const mx::array& x,
      const Weights& weights,
      const mx::array& a,
      const mx::array& b,
      const WeightFormat& format,
      float scale) {
    std::vector<mx::array> inputs = {x};
    for (const auto& w : weights) inputs.push_back(in_row_order(w));
    inputs.push_back(in_row_order(a));
    inputs.push_back(in_row_order(b));
    return mx::array(
        with_last(x.shape(), b.shape(1)),
        x.dtype(),
        std::make_shared<AdaptedProduct>(current_stream(), format, scale),
        std::move(inputs));
  }

 private:
  WeightFormat format_;  // bits 0: dense
  float scale_;

  static void run(
      const WeightFormat& s,
      float scale,
      const std::vector<mx::array>& in,
      mx::array& out) {
    if (out.size() == 0) return;
    FloatInput x(in[0]), down(in[in.size() - 2]), up(in.back());
    FloatOutput y(out);
    int64_t k = in[0].shape(-1), n = out.shape(-1), rank = in.back().shape(0);
    int64_t m = static_cast<int64_t>(out.size()) / n;
    LowRankTerm term{
        float_matrix(down.data(), rank, false),
        float_matrix(up.data(), n, false),
        rank,
        scale};
    auto b = matrix_of(std::span(in).subspan(1), s);
    Product product{{x.data(), k, b, y.data(), n, m, n, k, false}, term};
    multiply({&product, 1});
    y.finish();
  }
};

}  // namespace

mx::array dense_product(const mx::array& x, const mx::array& weight, const LowRank& l) {
  return AdaptedProduct::make(x, {weight}, l.a, l.b, {0, 0, true}, l.scale);
}

mx::array quantized_product(
    const mx::array& x, const QuantizedWeight& w, const LowRank& l) {
  WeightFormat format{w.group_size, w.bits, true};
  return AdaptedProduct::make(
      x, {w.packed, w.scales, w.biases}, l.a, l.b, format, l.scale);
}

}  // namespace pupil::cpu
