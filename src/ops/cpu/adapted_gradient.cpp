#include "ops/cpu/adapted_gradient.h"

#include <memory>
#include <span>

#include "ops/cpu/gemm.h"

namespace pupil::cpu {
namespace {

using Arrays = std::vector<mx::array>;

// to [columns, rows] = from [rows, columns]^T
void transpose(const float* from, int64_t rows, int64_t columns, float* to) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
}

std::unique_ptr<float[]> room(int64_t count) {
  return std::make_unique_for_overwrite<float[]>(count);
}

/// One run over M rows of a linear [in] -> [out].
struct Run {
  const float *x, *dy, *a, *b;
  int64_t m, in, out, rank;
  float scale;

  void operator()(const MatrixB& w, float* dx, float* da, float* db) const {
    auto b_turned = float_matrix(b, out, true);
    auto inner = scaled_product(dy, out, b_turned, m, rank, out, scale);  // [M, r]
    input(w, inner.get(), dx);
    down(inner.get(), da);
    up(db);
  }

  // dx = dy W + inner A^T, for inner = scale dy B^T [M, r].
  void input(const MatrixB& w, const float* inner, float* dx) const {
    LowRankTerm term{{}, float_matrix(a, rank, true), rank, scale, inner};
    Product product{{dy, out, w, dx, in, m, in, out, false}, term};
    multiply({&product, 1});
  }

  // dA [in, r] = x^T inner, as the transpose of the product with few rows.
  void down(const float* inner, float* da) const {
    auto turned = room(m * rank), product = room(rank * in);
    transpose(inner, m, rank, turned.get());
    auto right = float_matrix(x, in, false);
    multiply({turned.get(), m, right, product.get(), in, rank, in, m, false});
    transpose(product.get(), rank, in, da);
  }

  // dB [r, out] = scale (x A)^T dy
  void up(float* db) const {
    auto inner =
        scaled_product(x, in, float_matrix(a, rank, false), m, rank, in, scale);
    auto turned = room(m * rank);
    transpose(inner.get(), m, rank, turned.get());
    multiply(
        {turned.get(), m, float_matrix(dy, out, false), db, out, rank, out, m, false});
  }
};

/// Inputs: dy, x, A, B, then the weight's. Outputs: dx, dA, dB.
class AdaptedVjp : public CpuPrimitive {
 public:
  AdaptedVjp(mx::Stream stream, const WeightFormat& format, float scale)
      : CpuPrimitive(stream), back_(format), scale_(scale) {
    back_.transposed = !format.transposed;
  }

  const char* name() const override { return "AdaptedVjp"; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, [s = back_, scale = scale_](const auto& in, auto& out) {
      run(s, scale, in, out);
    });
  }

 private:
  WeightFormat back_;
  float scale_;

  static void run(const WeightFormat& s, float scale, const Arrays& in, Arrays& out) {
    FloatInput dy(in[0]), x(in[1]), a(in[2]), b(in[3]);
    FloatOutput dx(out[0]), da(out[1]), db(out[2]);
    int64_t rank = in[3].shape(0), width = in[1].shape(-1), columns = in[0].shape(-1);
    int64_t m = static_cast<int64_t>(in[1].size()) / width;
    Run run{x.data(), dy.data(), a.data(), b.data(), m, width, columns, rank, scale};
    run(matrix_of(std::span(in).subspan(4), s), dx.data(), da.data(), db.data());
    dx.finish();
    da.finish();
    db.finish();
  }
};

}  // namespace

AdaptedGradient adapted_gradient(
    const AdaptedInputs& in,
    const mx::array& dy,
    const WeightFormat& format,
    float scale) {
  Arrays inputs = {dy, in.x, in.a, in.b};
  for (const auto& w : in.weight) inputs.push_back(in_row_order(w));
  auto out = mx::array::make_arrays(
      {in.x.shape(), in.a.shape(), in.b.shape()},
      {in.x.dtype(), in.a.dtype(), in.b.dtype()},
      std::make_shared<AdaptedVjp>(current_stream(), format, scale),
      inputs);
  return {out[0], out[1], out[2]};
}

}  // namespace pupil::cpu
