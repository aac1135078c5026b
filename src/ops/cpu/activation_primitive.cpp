#include "ops/cpu/activation_primitive.h"

#include <algorithm>
#include <cstdint>

#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {
namespace {

using Arrays = std::vector<mx::array>;

constexpr int64_t kPiece = 8 * 1024;  // elements of a tile

// body(begin, count) over [0, size) in tiles of about kPiece / cost.
template <class Body>
void in_tiles(int64_t size, int64_t per_tile, const Body& body) {
  per_tile = std::max<int64_t>(1, per_tile);
  parallel_for(static_cast<int>((size + per_tile - 1) / per_tile), [&](int tile) {
    int64_t begin = tile * per_tile;
    body(begin, std::min(per_tile, size - begin));
  });
}

void run_swiglu(const Arrays& in, Arrays& out) {
  FloatInput gate(in[0]), up(in[1]);
  FloatOutput y(out[0]);
  in_tiles(static_cast<int64_t>(out[0].size()), kPiece, [&](int64_t i, int64_t n) {
    kernels().swiglu(gate.data() + i, up.data() + i, y.data() + i, n);
  });
  y.finish();
}

void run_swiglu_vjp(const Arrays& in, Arrays& out) {
  FloatInput gate(in[0]), up(in[1]), dy(in[2]);
  FloatOutput dgate(out[0]), dup(out[1]);
  in_tiles(static_cast<int64_t>(out[0].size()), kPiece, [&](int64_t i, int64_t n) {
    kernels().swiglu_vjp(
        gate.data() + i,
        up.data() + i,
        dy.data() + i,
        dgate.data() + i,
        dup.data() + i,
        n);
  });
  dgate.finish();
  dup.finish();
}

int64_t rows_of(const mx::array& x) {
  return x.size() == 0 ? 0 : static_cast<int64_t>(x.size()) / x.shape(-1);
}

void run_rms_norm(const Arrays& in, Arrays& out, float eps) {
  FloatInput x(in[0]), weight(in[1]);
  FloatOutput y(out[0]);
  int64_t width = in[0].shape(-1);
  in_tiles(rows_of(in[0]), kPiece / width, [&](int64_t row, int64_t n) {
    int64_t i = row * width;
    kernels().rms_norm(x.data() + i, weight.data(), eps, y.data() + i, n, width);
  });
  y.finish();
}

void run_rms_norm_vjp(const Arrays& in, Arrays& out, float eps) {
  FloatInput x(in[0]), weight(in[1]), dy(in[2]);
  FloatOutput dx(out[0]);
  int64_t width = in[0].shape(-1);
  in_tiles(rows_of(in[0]), kPiece / width, [&](int64_t row, int64_t n) {
    int64_t i = row * width;
    kernels().rms_norm_vjp(
        x.data() + i, weight.data(), dy.data() + i, eps, dx.data() + i, n, width);
  });
  dx.finish();
}

class SwigluVjp : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;
  const char* name() const override { return "SwigluVjp"; }
  bool is_equivalent(const mx::Primitive&) const override { return true; }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, run_swiglu_vjp);
  }
};

class Swiglu : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;
  const char* name() const override { return "Swiglu"; }
  bool is_equivalent(const mx::Primitive&) const override { return true; }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, run_swiglu);
  }

  Arrays vjp(
      const Arrays& primals,
      const Arrays& cotangents,
      const std::vector<int>& argnums,
      const Arrays&) override {
    auto& x = primals[0];
    auto both = mx::array::make_arrays(
        {x.shape(), x.shape()},
        {x.dtype(), x.dtype()},
        std::make_shared<SwigluVjp>(stream()),
        {x, primals[1], cotangents[0]});
    Arrays wanted;
    for (int i : argnums) wanted.push_back(both[i]);
    return wanted;
  }
};

class RmsNormVjp : public CpuPrimitive {
 public:
  RmsNormVjp(mx::Stream stream, float eps) : CpuPrimitive(stream), eps_(eps) {}
  const char* name() const override { return "RmsNormVjp"; }
  bool is_equivalent(const mx::Primitive& other) const override {
    return static_cast<const RmsNormVjp&>(other).eps_ == eps_;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, [eps = eps_](const Arrays& in, Arrays& out) {
      run_rms_norm_vjp(in, out, eps);
    });
  }

 private:
  float eps_;
};

class RmsNorm : public CpuPrimitive {
 public:
  RmsNorm(mx::Stream stream, float eps) : CpuPrimitive(stream), eps_(eps) {}
  const char* name() const override { return "RmsNorm"; }
  bool is_equivalent(const mx::Primitive& other) const override {
    return static_cast<const RmsNorm&>(other).eps_ == eps_;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, [eps = eps_](const Arrays& in, Arrays& out) {
      run_rms_norm(in, out, eps);
    });
  }

  Arrays vjp(
      const Arrays& primals,
      const Arrays& cotangents,
      const std::vector<int>& argnums,
      const Arrays&) override {
    Arrays gradients;
    for (int i : argnums)
      gradients.push_back(
          i == 0 ? input_gradient(primals, cotangents[0])
                 : weight_gradient(primals, cotangents[0]));
    return gradients;
  }

 private:
  float eps_;

  mx::array input_gradient(const Arrays& primals, const mx::array& dy) {
    return mx::array(
        primals[0].shape(),
        primals[0].dtype(),
        std::make_shared<RmsNormVjp>(stream(), eps_),
        {primals[0], primals[1], dy});
  }

  // Summed over rows: dy times the normalised x.
  mx::array weight_gradient(const Arrays& primals, const mx::array& dy) {
    auto x = mx::astype(primals[0], mx::float32);
    auto normed = rms_norm_fused(x, mx::ones({x.shape(-1)}), eps_);
    auto products = mx::reshape(dy * normed, {-1, x.shape(-1)});
    return mx::astype(mx::sum(products, 0), primals[1].dtype());
  }
};

}  // namespace

mx::array swiglu_fused(const mx::array& gate, const mx::array& up) {
  auto op = std::make_shared<Swiglu>(current_stream());
  return mx::array(gate.shape(), gate.dtype(), std::move(op), {gate, up});
}

mx::array rms_norm_fused(const mx::array& x, const mx::array& weight, float eps) {
  auto op = std::make_shared<RmsNorm>(current_stream(), eps);
  return mx::array(x.shape(), x.dtype(), std::move(op), {x, weight});
}

}  // namespace pupil::cpu
