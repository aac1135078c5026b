// Linears of one input with low-rank terms as one operation.

#include <stdexcept>

#include "ops/cpu/adapted_gradient.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/linear_primitive.h"

namespace pupil::cpu {
namespace {

using Arrays = std::vector<mx::array>;

/// y = x W^T + scale (x A) B for each linear. Inputs: x, then the weight's, A and B of
/// each. Outputs: y of each.
class AdaptedProduct : public CpuPrimitive {
 public:
  AdaptedProduct(mx::Stream stream, const AdaptedFormat& format)
      : CpuPrimitive(stream), format_(format) {}

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, [format = format_](const auto& in, auto& out) {
      run(format, in, out);
    });
  }

  Arrays vjp(
      const Arrays& primals,
      const Arrays& cotangents,
      const std::vector<int>& argnums,
      const Arrays&) override {
    auto all = adapted_gradients(primals[0], linears(primals), cotangents, format_);
    Arrays gradients;
    int each = per_linear(), weights = each - 2;
    for (int i : argnums) {
      int place = (i - 1) % each;
      if (i > 0 && place < weights)
        throw std::invalid_argument("[linear] the weight under an adapter is frozen");
      auto linear = static_cast<size_t>((i - 1) / each);
      gradients.push_back(
          i == 0             ? all.x
          : place == weights ? all.a[linear]
                             : all.b[linear]);
    }
    return gradients;
  }

  const char* name() const override { return "AdaptedProduct"; }
  bool is_equivalent(const mx::Primitive& other) const override {
    return static_cast<const AdaptedProduct&>(other).format_ == format_;
  }

  static Arrays make(
      const mx::array& x,
      const std::vector<AdaptedLinear>& linears,
      const AdaptedFormat& format) {
    Arrays inputs = {x};
    std::vector<mx::Shape> shapes;
    for (const auto& [weight, a, b] : linears) {
      for (const auto& w : weight) inputs.push_back(in_row_order(w));
      inputs.push_back(in_row_order(a));
      inputs.push_back(in_row_order(b));
      shapes.push_back(with_last(x.shape(), b.shape(1)));
    }
    return mx::array::make_arrays(
        shapes,
        std::vector<mx::Dtype>(shapes.size(), x.dtype()),
        std::make_shared<AdaptedProduct>(current_stream(), format),
        inputs);
  }

 private:
  AdaptedFormat format_;

  int per_linear() const { return static_cast<int>(format_.num_arrays()) + 2; }

  std::vector<AdaptedLinear> linears(const Arrays& in) const {
    std::vector<AdaptedLinear> all;
    for (auto at = in.begin() + 1; at != in.end(); at += per_linear()) {
      auto a = at + per_linear() - 2;
      all.push_back({{at, a}, *a, *(a + 1)});
    }
    return all;
  }

  static void run(const AdaptedFormat& format, const Arrays& in, Arrays& out) {
    if (in[0].size() == 0) return;
    FloatInput x(in[0]);
    std::vector<FloatInput> downs, ups;
    std::vector<FloatOutput> ys;
    std::vector<MatrixB> weights;
    size_t num_arrays = format.num_arrays();
    for (size_t i = 1; i < in.size(); i += num_arrays + 2) {
      weights.push_back(matrix_of(std::span(in).subspan(i, num_arrays), format.weight));
      downs.emplace_back(in[i + num_arrays]);
      ups.emplace_back(in[i + num_arrays + 1]);
      ys.emplace_back(out[ys.size()]);
    }
    int64_t k = in[0].shape(-1), m = static_cast<int64_t>(in[0].size()) / k;
    std::vector<int64_t> ranks;
    for (size_t i = num_arrays + 1; i < in.size(); i += num_arrays + 2)
      ranks.push_back(in[i].shape(1));
    JoinedDowns joined(downs, ranks, k);
    std::vector<Product> products;
    const float* down = joined.data();
    for (size_t i = 0; i < ys.size(); down += ranks[i], ++i) {
      int64_t n = out[i].shape(-1);
      LowRankTerm term{
          float_matrix(down, joined.columns(), false),
          float_matrix(ups[i].data(), n, false),
          ranks[i],
          format.scale};
      products.push_back(
          {{x.data(), k, weights[i], ys[i].data(), n, m, n, k, false}, term});
    }
    multiply(products);
    for (auto& y : ys) y.finish();
  }
};

}  // namespace

mx::array dense_product(const mx::array& x, const mx::array& weight, const LowRank& l) {
  return AdaptedProduct::make(x, {{{weight}, l.a, l.b}}, {{0, 0, true}, l.scale})[0];
}

Arrays quantized_products(
    const mx::array& x,
    const std::vector<QuantizedWeight>& weights,
    const std::vector<LowRank>& terms) {
  std::vector<AdaptedLinear> linears;
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto& w = weights[i];
    linears.push_back({{w.packed, w.scales, *w.biases}, terms[i].a, terms[i].b});
  }
  WeightFormat format{weights[0].group_size, weights[0].bits, true};
  return AdaptedProduct::make(x, linears, {format, terms[0].scale});
}

}  // namespace pupil::cpu
