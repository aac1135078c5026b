// Each primitive beside this machine's limits and beside its fallback (`make bench`).
// The limits are measured first, and again among the cases; the best counts.

#include <benchmark/benchmark.h>

#include <iostream>

#include "benches.h"
#include "peaks.h"
#include "share_table.h"

int main(int argc, char** argv) {
  using namespace pupil::bench;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  add_peaks();
  add_dense_linears();
  add_quantized_linears();
  add_elementwise();
  add_attention();
  add_policy_head();
  add_decode_steps();
  add_optimizer();
  ShareTable table;
  benchmark::RunSpecifiedBenchmarks(&table, "^peak/");
  benchmark::RunSpecifiedBenchmarks(&table);
  std::cout << table.text();
}
