#include "ops/cpu/adapted_gradient.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <span>

#include "ops/cpu/gemm.h"

namespace pupil::cpu {
namespace {

using Arrays = std::vector<mx::array>;
using Floats = std::unique_ptr<float[]>;

// to [columns, rows] = from [rows, columns]^T
void transpose(const float* from, int64_t rows, int64_t columns, float* to) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
}

/// One linear's share of a run.
struct Part {
  MatrixB weight;
  int64_t out;
  FloatInput dy, b;
  FloatOutput da, db;
};

/// One run over M rows of linears [in] -> [out].
struct Run {
  const float* x;
  std::vector<Part> parts;
  std::vector<FloatInput> downs;  // A of each
  std::vector<int64_t> ranks;     // of each
  int64_t m, in;
  float scale;

  void operator()(float* dx) {
    std::vector<Floats> inners;  // scale dy B^T [M, r]
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto& p = parts[i];
      auto b = float_matrix(p.b.data(), p.out, true);
      inners.push_back(
          scaled_product(p.dy.data(), p.out, b, m, ranks[i], p.out, scale));
    }
    input(inners, dx);
    down(inners);
    up();
  }

  int64_t total_rank() const {
    return std::accumulate(ranks.begin(), ranks.end(), int64_t{0});
  }

  // dx = the sum of dy W + inner A^T.
  void input(const std::vector<Floats>& inners, float* dx) const {
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto& p = parts[i];
      auto up = float_matrix(downs[i].data(), ranks[i], true);
      LowRankTerm term{{}, up, ranks[i], scale, inners[i].get(), ranks[i]};
      Product product{
          {p.dy.data(), p.out, p.weight, dx, in, m, in, p.out, i > 0}, term};
      multiply({&product, 1});
    }
  }

  // dA [in, r] = x^T inner, as the transpose of the product with few rows: all
  // linears'.
  void down(const std::vector<Floats>& inners) {
    int64_t rows = total_rank(), first = 0;
    std::vector<float> turned(m * rows), product(rows * in);
    for (size_t i = 0; i < parts.size(); first += ranks[i], ++i)
      transpose(inners[i].get(), m, ranks[i], turned.data() + first * m);
    auto right = float_matrix(x, in, false);
    multiply({turned.data(), m, right, product.data(), in, rows, in, m, false});
    const float* from = product.data();
    for (size_t i = 0; i < parts.size(); from += ranks[i] * in, ++i)
      transpose(from, ranks[i], in, parts[i].da.data());
  }

  // dB [r, out] = scale (x A)^T dy
  void up() {
    JoinedDowns joined(downs, ranks, in);
    int64_t columns = joined.columns();
    auto a = float_matrix(joined.data(), columns, false);
    auto inner = scaled_product(x, in, a, m, columns, in, scale);
    std::vector<float> turned(m * columns);
    transpose(inner.get(), m, columns, turned.data());
    const float* rows = turned.data();
    for (size_t i = 0; i < parts.size(); rows += ranks[i] * m, ++i) {
      auto& p = parts[i];
      auto dy = float_matrix(p.dy.data(), p.out, false);
      multiply({rows, m, dy, p.db.data(), p.out, ranks[i], p.out, m, false});
    }
  }
};

/// Inputs: x, then dy, A, B and the weight of each linear. Outputs: dx, then dA and dB
/// of each.
class AdaptedVjp : public CpuPrimitive {
 public:
  AdaptedVjp(mx::Stream stream, const AdaptedFormat& format)
      : CpuPrimitive(stream), back_(format) {
    back_.weight.transposed = !format.weight.transposed;
  }

  const char* name() const override { return "AdaptedVjp"; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, [format = back_](const auto& in, auto& out) {
      run(format, in, out);
    });
  }

 private:
  AdaptedFormat back_;

  static void run(const AdaptedFormat& format, const Arrays& in, Arrays& out) {
    FloatInput x(in[0]);
    FloatOutput dx(out[0]);
    int64_t width = in[0].shape(-1), m = static_cast<int64_t>(in[0].size()) / width;
    Run run{x.data(), {}, {}, {}, m, width, format.scale};
    size_t each = 3 + format.num_arrays();
    for (size_t i = 1, o = 1; i < in.size(); i += each, o += 2) {
      auto weight = std::span(in).subspan(i + 3, format.num_arrays());
      run.parts.push_back(
          {matrix_of(weight, format.weight),
           in[i].shape(-1),
           FloatInput(in[i]),
           FloatInput(in[i + 2]),
           FloatOutput(out[o]),
           FloatOutput(out[o + 1])});
      run.downs.emplace_back(in[i + 1]);
      run.ranks.push_back(in[i + 1].shape(1));
    }
    run(dx.data());
    dx.finish();
    for (auto& p : run.parts) p.da.finish(), p.db.finish();
  }
};

}  // namespace

JoinedDowns::JoinedDowns(
    const std::vector<FloatInput>& downs, const std::vector<int64_t>& ranks, int64_t in)
    : only_(downs[0].data()),
      columns_(std::accumulate(ranks.begin(), ranks.end(), int64_t{0})) {
  if (downs.size() == 1) return;
  copy_.resize(in * columns_);
  float* to = copy_.data();
  for (int64_t k = 0; k < in; ++k)
    for (size_t i = 0; i < downs.size(); ++i)
      to = std::copy_n(downs[i].data() + k * ranks[i], ranks[i], to);
}

AdaptedGradients adapted_gradients(
    const mx::array& x,
    const std::vector<AdaptedLinear>& linears,
    const std::vector<mx::array>& dys,
    const AdaptedFormat& format) {
  Arrays inputs = {x};
  std::vector<mx::Shape> shapes = {x.shape()};
  std::vector<mx::Dtype> dtypes = {x.dtype()};
  for (size_t i = 0; i < linears.size(); ++i) {
    const auto& [weight, a, b] = linears[i];
    inputs.insert(inputs.end(), {dys[i], a, b});
    for (const auto& w : weight) inputs.push_back(in_row_order(w));
    shapes.insert(shapes.end(), {a.shape(), b.shape()});
    dtypes.insert(dtypes.end(), {a.dtype(), b.dtype()});
  }
  auto out = mx::array::make_arrays(
      shapes, dtypes, std::make_shared<AdaptedVjp>(current_stream(), format), inputs);
  AdaptedGradients gradients{out[0], {}, {}};
  for (size_t i = 1; i < out.size(); i += 2) {
    gradients.a.push_back(out[i]);
    gradients.b.push_back(out[i + 1]);
  }
  return gradients;
}

}  // namespace pupil::cpu
