// Speed of the ops beside the machine's limits (`make bench`). On a shared machine take
// the best of several short runs: times from the `min` row, rates from the `max` row.

#include <benchmark/benchmark.h>

#include <vector>

#include "ops/cpu/thread_pool.h"
#include "ops/linear.h"
#include "support.h"

namespace pupil {
namespace {

// Copies of a weight, so that each call reads memory as a whole model does.
std::vector<QuantizedWeight> weights(int in, int out, int bits, size_t total_bytes) {
  std::vector<QuantizedWeight> copies;
  size_t bytes = static_cast<size_t>(in) * out * bits / 8;
  for (size_t i = 0; i * bytes < total_bytes; ++i) {
    auto w = mx::random::normal({out, in}, mx::float32, 0.0f, 0.1f, mx::random::key(i));
    auto q = mx::quantize(w, 32, bits);
    QuantizedWeight copy{
        q[0], mx::astype(q[1], mx::float16), mx::astype(q[2], mx::float16), 32, bits};
    mx::eval(copy.packed, copy.scales, copy.biases);
    copies.push_back(prepared(copy));
  }
  return copies;
}

// One call of the op over each copy, in one graph.
void quantized(benchmark::State& state, bool backward) {
  int in = static_cast<int>(state.range(0)), out = static_cast<int>(state.range(1));
  int bits = static_cast<int>(state.range(2)), rows = static_cast<int>(state.range(3));
  auto copies = weights(in, out, bits, rows <= 8 ? 64 << 20 : 1 << 20);
  auto x = mx::random::normal({rows, in});
  auto dy = mx::random::normal({rows, out});
  mx::eval(x, dy);
  for (auto _ : state) {
    std::vector<mx::array> results;
    for (auto& w : copies) {
      auto f = [&](const std::vector<mx::array>& v) {
        return std::vector{quantized_linear(v[0], w)};
      };
      results.push_back(backward ? mx::vjp(f, {x}, {dy}).second[0] : f({x})[0]);
    }
    mx::eval(results);
  }
  double calls = static_cast<double>(copies.size());
  double weight_bytes = calls * in * out * (bits / 8.0 + 4.0 / 32);
  report(state, 2.0 * calls * rows * in * out, weight_bytes);
}

void linear_forward(benchmark::State& state) {
  quantized(state, false);
}
void linear_backward(benchmark::State& state) {
  quantized(state, true);
}

void shapes(benchmark::internal::Benchmark* b) {
  for (int rows : {1, 2, 4, 8, 32, 128, 512}) {
    b->Args({576, 1536, 4, rows});
    b->Args({1536, 576, 4, rows});
    if (rows <= 128) b->Args({576, 49152, 8, rows});
  }
}

BENCHMARK(linear_forward)->Apply(shapes)->Apply(best);
BENCHMARK(linear_backward)->Apply(shapes)->Apply(best);

void matmul(benchmark::State& state) {
  int n = static_cast<int>(state.range(0));
  auto a = mx::random::normal({n, n}), b = mx::random::normal({n, n});
  mx::eval(a, b);
  for (auto _ : state) mx::eval(mx::matmul(a, b));
  report(state, 2.0 * n * n * n, 0);
}
BENCHMARK(matmul)->Arg(128)->Arg(512)->Arg(1024)->Apply(best);

// Limits of this machine: twelve independent chains of one instruction in registers
// (of AVX2 and of AVX-512, as far as the processor has them), and a sum over memory.
#if defined(__x86_64__)
constexpr int kSteps = 20000, kChains = 12, kTiles = 8;

// One step of a chain: acc = acc op (a, b).
#define PUPIL_CHAINS(name, isa, Lanes, constraint, instruction)               \
  [[gnu::target(isa)]] void name() {                                          \
    Lanes acc[kChains] = {}, a = {}, b = {};                                  \
    for (int i = 0; i < kSteps; ++i) {                                        \
      _Pragma("GCC unroll 12") for (auto& lane : acc) asm(                    \
          instruction : "+" constraint(lane) : constraint(a), constraint(b)); \
    }                                                                         \
    _Pragma("GCC unroll 12") for (auto& lane :                                \
                                  acc) asm volatile("" ::constraint(lane));   \
  }

using Vec32 = float __attribute__((vector_size(32)));
using Vec64 = float __attribute__((vector_size(64)));
PUPIL_CHAINS(fma_avx2, "avx2,fma", Vec32, "x", "vfmadd231ps %2, %1, %0")
PUPIL_CHAINS(fma_avx512, "avx512f", Vec64, "v", "vfmadd231ps %2, %1, %0")
PUPIL_CHAINS(dot16_vnni, "avx512f", Vec64, "v", "vpdpwssd %2, %1, %0")
PUPIL_CHAINS(dot8_vnni, "avx512f", Vec64, "v", "vpdpbusd %2, %1, %0")

// Two operations a lane.
void peak(benchmark::State& state, void (*chains)(), int lanes) {
  for (auto _ : state) cpu::parallel_for(kTiles, [&](int) { chains(); });
  report(state, 2.0 * lanes * kChains * kSteps * kTiles, 0);
}

}  // namespace

void add_peaks() {
  auto add = [](const char* name, void (*chains)(), int lanes) {
    benchmark::RegisterBenchmark(name, [=](benchmark::State& state) {
      peak(state, chains, lanes);
    })->Apply(best);
  };
  if (__builtin_cpu_supports("fma")) add("peak/fma_avx2", fma_avx2, 8);
  if (__builtin_cpu_supports("avx512f")) add("peak/fma_avx512", fma_avx512, 16);
  if (!__builtin_cpu_supports("avx512vnni")) return;
  add("peak/dot16_vnni", dot16_vnni, 32);
  add("peak/dot8_vnni", dot8_vnni, 64);
}
#else
}  // namespace

void add_peaks() {}
#endif

namespace {

void read_bandwidth(benchmark::State& state) {
  std::vector<uint64_t> data((256 << 20) / 8, 1);
  constexpr int kParts = 64;
  std::vector<uint64_t> sums(kParts);
  size_t part = data.size() / kParts;
  for (auto _ : state)
    cpu::parallel_for(kParts, [&](int tile) {
      uint64_t sum = 0;
      for (size_t i = tile * part; i < (tile + 1) * part; ++i) sum += data[i];
      sums[tile] = sum;
    });
  benchmark::DoNotOptimize(sums.data());
  report(state, 0, static_cast<double>(data.size()) * 8);
}
BENCHMARK(read_bandwidth)->Apply(best);

}  // namespace
}  // namespace pupil

int main(int argc, char** argv) {
  pupil::add_peaks();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
