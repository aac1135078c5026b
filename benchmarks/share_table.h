// What the benchmarks print: each case beside the limit that bounds it and beside its
// fallback.

#pragma once

#include <benchmark/benchmark.h>

#include <map>
#include <string>
#include <vector>

#include "work.h"

namespace pupil::bench {

/// Keeps the best repetition of each benchmark: a shared machine only slows down.
class ShareTable : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override;

  /// The machine, its measured limits and, for each case that ran, the time of a call,
  /// its rate, the limit, the share of it that was reached and how many times faster
  /// than the fallback it is.
  std::string text() const;

 private:
  std::map<std::string, double> calls_per_second_;  // by benchmark
};

}  // namespace pupil::bench
