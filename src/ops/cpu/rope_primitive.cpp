#include "ops/cpu/rope_primitive.h"

#include "ops/cpu/arrays.h"
#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {

namespace {

constexpr int kTokensPerTile = 16;

class Rope : public CpuPrimitive {
 public:
  Rope(mx::Stream stream, float direction)
      : CpuPrimitive(stream), direction_(direction) {}

  const char* name() const override { return "Rope"; }

  void eval_cpu(
      const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    dispatch(inputs, outputs, [direction = direction_](auto& in, auto& out) {
      FloatInput x(in[0]), cos(in[1]), sin(in[2]);
      FloatOutput y(out[0]);
      int N = in[0].shape(0), H = in[0].shape(1), E = in[0].shape(2), half = E / 2;
      parallel_for((N + kTokensPerTile - 1) / kTokensPerTile, [&](int tile) {
        int end = std::min(N, (tile + 1) * kTokensPerTile);
        for (int64_t n = tile * kTokensPerTile; n < end; ++n)
          kernels().rope_heads(
              x.data() + n * H * E,
              cos.data() + n * half,
              sin.data() + n * half,
              direction,
              y.data() + n * H * E,
              H,
              E);
      });
      y.finish();
    });
  }

  // A turn's transpose is the turn back; positions have no gradient.
  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>&) override {
    std::vector<mx::array> grads;
    for (int arg : argnums) {
      grads.push_back(
          arg == 0 ? make(cotangents[0], primals[1], primals[2], stream(), -direction_)
                   : mx::zeros_like(primals[arg]));
    }
    return grads;
  }

  static mx::array make(
      const mx::array& x,
      const mx::array& cos,
      const mx::array& sin,
      mx::Stream stream,
      float direction) {
    return mx::array(
        x.shape(), x.dtype(), std::make_shared<Rope>(stream, direction), {x, cos, sin});
  }

 private:
  float direction_;
};

}  // namespace

void rope_row(float* x, const float* cos, const float* sin, int heads, int width) {
  kernels().rope_heads(x, cos, sin, 1.0f, x, heads, width);
}

mx::array rope_fused(const mx::array& x, const RopeTable& table) {
  return Rope::make(x, table.cos, table.sin, current_stream(), 1.0f);
}

}  // namespace pupil::cpu
