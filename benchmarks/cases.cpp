#include "cases.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace pupil::bench {
namespace {

constexpr double kCopiesBytes = 128 << 20;
constexpr int kMostCopies = 256;
constexpr int kSlowRepetitions = 3;
// Above this many operations a byte no processor here waits for memory.
constexpr double kMemoryBound = 32;

std::vector<Case>& all_cases() {
  static std::vector<Case> all;
  return all;
}

int copies_of(const Work& work) {
  if (work.operations() > kMemoryBound * work.bytes) return 1;
  return static_cast<int>(
      std::clamp(kCopiesBytes / work.bytes, 1.0, 1.0 * kMostCopies));
}

// One iteration is one call on each copy, in one graph. The calls are made when the
// benchmark first runs and kept, because it runs many times.
benchmark::internal::Benchmark* add_side(
    const std::string& name, int copies, const MakeCall& make) {
  auto calls = std::make_shared<std::vector<Call>>();
  auto run = [=](benchmark::State& state) {
    for (int i = static_cast<int>(calls->size()); i < copies; ++i)
      calls->push_back(make(i));
    for (auto _ : state) {
      Arrays results;
      for (const auto& call : *calls)
        for (auto& result : call()) results.push_back(std::move(result));
      mx::eval(std::move(results));
    }
    state.SetItemsProcessed(state.iterations() * copies);
  };
  return benchmark::RegisterBenchmark(name.c_str(), run)->UseRealTime();
}

mx::array next_key() {
  static uint64_t seed = 0;
  return mx::random::key(++seed);
}

mx::array evaluated(mx::array x) {
  x.eval();
  return x;
}

}  // namespace

const std::vector<Case>& cases() {
  return all_cases();
}

std::string fallback_name(const std::string& case_name) {
  return case_name + "/fallback";
}

void add_case(Case c) {
  int copies = copies_of(c.work);
  add_side(c.name, copies, c.ours);
  if (c.fallback && c.slow_fallback) {
    add_side(fallback_name(c.name), 1, c.fallback)->Repetitions(kSlowRepetitions);
  } else if (c.fallback) {
    add_side(fallback_name(c.name), copies, c.fallback);
  }
  all_cases().push_back(std::move(c));
}

void add_op(const OpCase& c) {
  auto made = std::make_shared<std::vector<Arrays>>();
  auto inputs = [made, make = c.inputs](int copy) {
    while (static_cast<int>(made->size()) <= copy) made->push_back(make());
    return made->at(copy);
  };
  auto side = [&](const Op& op) {
    return [=, n = c.differentiated](int copy) { return call_of(op, inputs(copy), n); };
  };
  Case both{c.name, c.work, side(c.ours), {}, c.slow_fallback};
  if (c.fallback) both.fallback = side(c.fallback);
  add_case(std::move(both));
}

Call call_of(const Op& op, const Arrays& inputs, int differentiated) {
  if (differentiated == 0) return [=] { return op(inputs); };
  Arrays leading(inputs.begin(), inputs.begin() + differentiated);
  Arrays rest(inputs.begin() + differentiated, inputs.end());
  auto f = [=](const Arrays& v) {
    Arrays all = v;
    all.insert(all.end(), rest.begin(), rest.end());
    return op(all);
  };
  Arrays cotangents;
  for (const auto& y : op(inputs)) cotangents.push_back(numbers(y.shape(), y.dtype()));
  return [=] { return mx::vjp(f, leading, cotangents).second; };
}

mx::array numbers(const mx::Shape& shape, mx::Dtype type) {
  auto x = mx::random::uniform(-1.0f, 1.0f, shape, mx::float32, next_key());
  return evaluated(mx::astype(x, type));
}

mx::array ids(int count, int end) {
  return evaluated(mx::random::randint(0, end, {count}, mx::int32, next_key()));
}

}  // namespace pupil::bench
