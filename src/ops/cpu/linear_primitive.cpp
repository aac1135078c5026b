#include "ops/cpu/linear_primitive.h"

#include <stdexcept>
#include <utility>

#include "ops/cpu/gemm.h"
#include "ops/cpu/weight_matrix.h"

namespace pupil::cpu {
namespace {

void product(const mx::array& x, const MatrixB& b, mx::array& out) {
  if (out.size() == 0) return;
  FloatInput input(x);
  FloatOutput output(out);
  int64_t k = x.shape(-1), n = out.shape(-1);
  int64_t m = static_cast<int64_t>(out.size()) / n;
  multiply({input.data(), k, b, output.data(), n, m, n, k, false});
  output.finish();
}

class DenseProduct : public CpuPrimitive {
 public:
  DenseProduct(mx::Stream stream, bool transposed)
      : CpuPrimitive(stream), transposed_(transposed) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    dispatch(inputs, outputs, [transposed = transposed_](const auto& in, auto& out) {
      product(in[0], matrix_of(std::span(in).subspan(1), {0, 0, transposed}), out[0]);
    });
  }

  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>&) override {
    std::vector<mx::array> gradients;
    for (int i : argnums)
      gradients.push_back(
          i == 0 ? dense_product(cotangents[0], primals[1], !transposed_)
                 : weight_gradient(primals, cotangents[0]));
    return gradients;
  }

  const char* name() const override { return "DenseProduct"; }
  bool is_equivalent(const mx::Primitive& other) const override {
    return static_cast<const DenseProduct&>(other).transposed_ == transposed_;
  }

 private:
  bool transposed_;

  // dW [out, in]: the outputs' gradient times the inputs, over all rows.
  mx::array weight_gradient(
      const std::vector<mx::array>& primals, const mx::array& cotangent) const {
    auto rows = [](const mx::array& a) {
      return mx::astype(mx::reshape(a, {-1, a.shape(-1)}), mx::float32);
    };
    auto x = rows(primals[0]), dy = rows(cotangent);
    auto dw = transposed_ ? mx::matmul(mx::transpose(dy), x)
                          : mx::matmul(mx::transpose(x), dy);
    return mx::astype(dw, primals[1].dtype());
  }
};

class QuantizedProduct : public CpuPrimitive {
 public:
  QuantizedProduct(mx::Stream stream, const WeightFormat& format)
      : CpuPrimitive(stream), format_(format) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    dispatch(inputs, outputs, [format = format_](const auto& in, auto& out) {
      product(in[0], matrix_of(std::span(in).subspan(1), format), out[0]);
    });
  }

  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>&) override {
    for (int i : argnums)
      if (i != 0)
        throw std::invalid_argument("[quantized_linear] its weight has no gradient");
    auto [group_size, bits, transposed] = format_;
    const auto& dy = cotangents[0];
    int out = transposed ? dy.shape(-1) : primals[0].shape(-1);
    QuantizedWeight weight{
        primals[1], primals[2], primals[3], group_size, bits, true, out};
    return {quantized_product(dy, weight, !transposed)};
  }

  const char* name() const override { return "QuantizedProduct"; }
  bool is_equivalent(const mx::Primitive& other) const override {
    return static_cast<const QuantizedProduct&>(other).format_ == format_;
  }

 private:
  WeightFormat format_;
};

}  // namespace

mx::array dense_product(const mx::array& x, const mx::array& weight, bool transposed) {
  int columns = weight.shape(transposed ? 0 : 1);
  return mx::array(
      with_last(x.shape(), columns),
      x.dtype(),
      std::make_shared<DenseProduct>(current_stream(), transposed),
      {x, in_row_order(weight)});
}

mx::array quantized_product(
    const mx::array& x, const QuantizedWeight& w, bool transposed) {
  int columns = transposed ? w.out : w.packed.shape(1) * 32 / w.bits;
  return mx::array(
      with_last(x.shape(), columns),
      x.dtype(),
      std::make_shared<QuantizedProduct>(
          current_stream(), WeightFormat{w.group_size, w.bits, transposed}),
      {x, w.packed, w.scales, *w.biases});
}

}  // namespace pupil::cpu
