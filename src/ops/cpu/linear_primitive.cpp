#include "ops/cpu/linear_primitive.h"

#include <stdexcept>
#include <utility>

#include "ops/cpu/gemm.h"

namespace pupil::cpu {
namespace {

mx::Shape with_last(mx::Shape shape, int last) {
  shape.back() = last;
  return shape;
}

// A copy in row order where the array is a view; kernels read weights as they lie.
mx::array in_row_order(const mx::array& x) {
  if (x.status() == mx::array::Status::available && x.flags().row_contiguous) return x;
  return mx::contiguous(x, false, current_stream());
}

void product(const mx::array& x, const MatrixB& b, mx::array& out) {
  if (out.size() == 0) return;
  FloatInput input(x);
  FloatOutput output(out);
  int64_t k = x.shape(-1), n = out.shape(-1);
  int64_t m = static_cast<int64_t>(out.size()) / n;
  multiply({input.data(), k, b, output.data(), n, m, n, k, false});
  output.finish();
}

MatrixB dense_b(const mx::array& w, bool transposed) {
  MatrixB b{};
  b.data = w.data<char>();
  b.format = float_format(w, "linear");
  b.transposed = transposed;
  b.row_stride = w.shape(1);
  return b;
}

class DenseProduct : public CpuPrimitive {
 public:
  DenseProduct(mx::Stream stream, bool transposed)
      : CpuPrimitive(stream), transposed_(transposed) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    dispatch(inputs, outputs, [transposed = transposed_](const auto& in, auto& out) {
      product(in[0], dense_b(in[1], transposed), out[0]);
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

struct Settings {
  int group_size, bits;
  bool transposed;
};

bool operator==(const Settings& a, const Settings& b) {
  return a.group_size == b.group_size && a.bits == b.bits &&
         a.transposed == b.transposed;
}

// inputs: x, packed, scales, biases
MatrixB quantized_b(const std::vector<mx::array>& inputs, const Settings& settings) {
  MatrixB b{};
  b.data = inputs[1].data<char>();
  b.format = settings.bits == 4 ? Format::q4 : Format::q8;
  b.transposed = settings.transposed;
  b.row_stride = inputs[1].shape(1);
  b.scales = inputs[2].data<char>();
  b.biases = inputs[3].data<char>();
  b.scale_format = float_format(inputs[2], "quantized_linear");
  b.group_size = settings.group_size;
  b.groups_per_row = inputs[2].shape(1);
  return b;
}

class QuantizedProduct : public CpuPrimitive {
 public:
  QuantizedProduct(mx::Stream stream, const Settings& settings)
      : CpuPrimitive(stream), settings_(settings) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    dispatch(inputs, outputs, [settings = settings_](const auto& in, auto& out) {
      product(in[0], quantized_b(in, settings), out[0]);
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
    auto [group_size, bits, transposed] = settings_;
    QuantizedWeight weight{primals[1], primals[2], primals[3], group_size, bits};
    return {quantized_product(cotangents[0], weight, !transposed)};
  }

  const char* name() const override { return "QuantizedProduct"; }
  bool is_equivalent(const mx::Primitive& other) const override {
    return static_cast<const QuantizedProduct&>(other).settings_ == settings_;
  }

 private:
  Settings settings_;
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
  int columns = transposed ? w.packed.shape(0) : w.packed.shape(1) * 32 / w.bits;
  return mx::array(
      with_last(x.shape(), columns),
      x.dtype(),
      std::make_shared<QuantizedProduct>(
          current_stream(), Settings{w.group_size, w.bits, transposed}),
      {x, in_row_order(w.packed), in_row_order(w.scales), in_row_order(w.biases)});
}

}  // namespace pupil::cpu
