#include "peaks.h"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <functional>

#include "ops/cpu/thread_pool.h"

namespace pupil::bench {
namespace {

constexpr int kTiles = 8;

std::vector<Peak>& all_peaks() {
  static std::vector<Peak> all;
  return all;
}

void add(const Peak& peak, const std::function<void(int)>& tile, int tiles) {
  auto run = [=](benchmark::State& state) {
    for (auto _ : state) cpu::parallel_for(tiles, tile);
    state.SetItemsProcessed(state.iterations());
  };
  benchmark::RegisterBenchmark(peak.name.c_str(), run)->UseRealTime();
  all_peaks().push_back(peak);
}

#if defined(__x86_64__)

// Twelve independent chains hide an instruction's latency and fit 16 registers.
constexpr int kSteps = 20000, kChains = 12;

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
PUPIL_CHAINS(bf16_avx512, "avx512f", Vec64, "v", "vdpbf16ps %2, %1, %0")
PUPIL_CHAINS(dot16_vnni, "avx512f", Vec64, "v", "vpdpwssd %2, %1, %0")
PUPIL_CHAINS(dot8_vnni, "avx512f", Vec64, "v", "vpdpbusd %2, %1, %0")

// `products` of one instruction, two operations each.
void add_chains(const char* name, Limit limit, void (*chains)(), int products) {
  double operations = 2.0 * products * kChains * kSteps * kTiles;
  add({name, limit, operations}, [=](int) { chains(); }, kTiles);
}

void add_products() {
  if (__builtin_cpu_supports("fma"))
    add_chains("peak/fma_avx2", Limit::f32, fma_avx2, 8);
  if (__builtin_cpu_supports("avx512f"))
    add_chains("peak/fma_avx512", Limit::f32, fma_avx512, 16);
  if (__builtin_cpu_supports("avx512bf16"))
    add_chains("peak/bf16_avx512", Limit::bf16, bf16_avx512, 32);
  if (!__builtin_cpu_supports("avx512vnni")) return;
  add_chains("peak/dot16_vnni", Limit::dot16, dot16_vnni, 32);
  add_chains("peak/dot8_vnni", Limit::dot8, dot8_vnni, 64);
}

#else

void add_products() {}

#endif

// Four streams at once: one alone leaves the memory waiting for the prefetcher.
uint64_t sum_of(const uint64_t* data, size_t count) {
  size_t quarter = count / 4;
  uint64_t a = 0, b = 0, c = 0, d = 0;
  for (size_t i = 0; i < quarter; ++i) {
    a += data[i];
    b += data[i + quarter];
    c += data[i + 2 * quarter];
    d += data[i + 3 * quarter];
  }
  return a + b + c + d;
}

void add_read() {
  constexpr size_t kBytes = 256 << 20;
  static const std::vector<uint64_t> data(kBytes / 8, 1);
  int parts = cpu::num_threads();
  size_t part_size = data.size() / parts;
  auto read = [=](int part) {
    benchmark::DoNotOptimize(sum_of(data.data() + part * part_size, part_size));
  };
  add({"peak/read_memory", Limit::read, 8.0 * part_size * parts}, read, parts);
}

}  // namespace

void add_peaks() {
  add_products();
  add_read();
}

const std::vector<Peak>& peaks() {
  return all_peaks();
}

}  // namespace pupil::bench
