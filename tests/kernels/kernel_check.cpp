// Runs every kernel of this machine's tables and prints a line a case: how its table
// rounds, the case, a hash of the result's bits. scripts/check_arm64.sh compares the
// lines of two processors. Exit status 1 where a result is wrong, or where two tables
// that round alike differ in a bit.

#include <cinttypes>
#include <cstdio>
#include <map>

#include "kernels/kernel_cases.h"

namespace pupil::kernel_cases {
namespace {

using Hashes = std::map<std::string, uint64_t>;

// Whether the case passed; `hashes` has what the tables before gave.
bool check(const cpu::KernelTable& table, const Outcome& outcome, Hashes& hashes) {
  bool right = outcome.error() <= outcome.tolerance;
  if (!right)
    std::fprintf(
        stderr,
        "%s: %s: error %g, at most %g\n",
        table.name,
        outcome.name.c_str(),
        outcome.error(),
        outcome.tolerance);
  if (!outcome.same_bits) return right;
  auto key = std::string(rounding(table)) + " " + outcome.name;
  auto [entry, fresh] = hashes.emplace(key, outcome.hash());
  if (fresh) std::printf("%s %016" PRIx64 "\n", key.c_str(), outcome.hash());
  bool same = entry->second == outcome.hash();
  if (!same)
    std::fprintf(stderr, "%s: %s: other bits\n", table.name, outcome.name.c_str());
  return right && same;
}

int run() {
  Hashes hashes;
  int failed = 0;
  for (const auto* table : tables()) {
    auto outcomes = all_cases(*table);
    for (const auto& outcome : outcomes) failed += !check(*table, outcome, hashes);
    std::fprintf(stderr, "%s: %zu cases\n", table->name, outcomes.size());
  }
  return failed > 0;
}

}  // namespace
}  // namespace pupil::kernel_cases

int main() {
  return pupil::kernel_cases::run();
}
