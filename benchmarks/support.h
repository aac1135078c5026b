// What the benchmarks share.

#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

namespace pupil {

inline double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}
inline double most(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

/// The best of the repetitions: a time in the `min` row, a rate in the `max` row.
inline void best(benchmark::internal::Benchmark* b) {
  b->ComputeStatistics("min", least)->ComputeStatistics("max", most)->UseRealTime();
}

inline void report(benchmark::State& state, double flops, double bytes) {
  auto per_second = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GFLOPS"] = benchmark::Counter(flops / 1e9, per_second);
  state.counters["GB/s"] = benchmark::Counter(bytes / 1e9, per_second);
}

}  // namespace pupil
