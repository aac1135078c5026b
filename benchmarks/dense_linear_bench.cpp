// y = x W^T of dense weights, and the sgemm that all of MLX's float32 products call.

#include <dlfcn.h>

#include "benches.h"
#include "cases.h"
#include "ops/linear.h"

namespace pupil::bench {
namespace {

struct Types {
  const char* name;
  mx::Dtype x, w;
};
const Types kTypes[] = {
    {"f32", mx::float32, mx::float32},
    {"f32_x_bf16", mx::float32, mx::bfloat16},  // as a dense model runs on a CPU
    {"bf16", mx::bfloat16, mx::bfloat16},
    {"f16", mx::float16, mx::float16},
};

enum class Pass { forward, to_input, to_weight };
const char* const kPassNames[] = {"", "/to_input", "/to_weight"};

Work work_of(const Types& types, int rows) {
  double operations = 2.0 * rows * kWidth * kInner;
  bool narrow = types.x == mx::bfloat16;
  return {
      .f32 = narrow ? 0 : operations,
      .bf16 = narrow ? operations : 0,
      .bytes = 1.0 * kWidth * kInner * mx::size_of(types.w) +
               1.0 * rows * (kWidth + kInner) * mx::size_of(types.x)};
}

mx::array plain_linear(const mx::array& x, const mx::array& w) {
  return mx::matmul(x, mx::transpose(mx::astype(w, x.dtype())));
}

// What is differentiated comes first among the inputs.
void add_linear(const Types& types, int rows, Pass pass) {
  bool weight_first = pass == Pass::to_weight;
  auto op = [=](mx::array (*product)(const mx::array&, const mx::array&)) {
    return [=](const Arrays& v) {
      return Arrays{product(v[weight_first ? 1 : 0], v[weight_first ? 0 : 1])};
    };
  };
  auto inputs = [=] {
    auto x = numbers({rows, kWidth}, types.x), w = numbers({kInner, kWidth}, types.w);
    return weight_first ? Arrays{w, x} : Arrays{x, w};
  };
  add_op(
      {.name = "linear/" + std::string(types.name) + "/576x1536/rows:" +
               std::to_string(rows) + kPassNames[static_cast<int>(pass)],
       .work = work_of(types, rows),
       .inputs = inputs,
       .ours = op(linear),
       .fallback = op(plain_linear),
       .differentiated = pass == Pass::forward ? 0 : 1,
       .slow_fallback = types.x != mx::float32});
}

using Sgemm = void (*)(
    int,
    int,
    int,
    int,
    int,
    int,
    float,
    const float*,
    int,
    const float*,
    int,
    float,
    float*,
    int);

// The one that MLX's own libraries bring, behind ours.
Sgemm next_sgemm() {
  return reinterpret_cast<Sgemm>(dlsym(RTLD_NEXT, "cblas_sgemm"));
}

void add_matmul(int n) {
  constexpr int kRowMajor = 101, kNoTranspose = 111;
  Case c{"matmul/f32/" + std::to_string(n), {.f32 = 2.0 * n * n * n}, {}, {}, true};
  c.work.bytes = 3.0 * n * n * sizeof(float);
  c.ours = [=](int) {
    return call_of(
        [](const Arrays& v) { return Arrays{mx::matmul(v[0], v[1])}; },
        {numbers({n, n}), numbers({n, n})});
  };
  if (auto sgemm = next_sgemm()) {
    c.fallback = [=](int) -> Call {
      return
          [=, a = numbers({n, n}), b = numbers({n, n}), y = numbers({n, n})]() mutable {
            sgemm(
                kRowMajor,
                kNoTranspose,
                kNoTranspose,
                n,
                n,
                n,
                1.0f,
                a.data<float>(),
                n,
                b.data<float>(),
                n,
                0.0f,
                y.data<float>(),
                n);
            return Arrays{};
          };
    };
  }
  add_case(std::move(c));
}

}  // namespace

void add_dense_linears() {
  for (const auto& types : kTypes) {
    add_linear(types, 1, Pass::forward);
    add_linear(types, 512, Pass::forward);
    add_linear(types, 512, Pass::to_input);
  }
  add_linear(kTypes[0], 512, Pass::to_weight);
  for (int n : {128, 512, 1024}) add_matmul(n);
}

}  // namespace pupil::bench
