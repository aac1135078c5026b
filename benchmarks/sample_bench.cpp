// Time to draw a token from a row of logits, on one thread.

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "ops/cpu/choose_token.h"
#include "support.h"

namespace pupil {
namespace {

constexpr int kRows = 8;

// Rows of a vocabulary: `spread` is the deviation of all logits; some forty tokens of a
// peaked row stand out by up to 14 nats, as those of a trained model do.
std::vector<float> rows(int size, float spread, bool peaked) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits(static_cast<size_t>(kRows) * size);
  for (float& x : logits) x = normal(random);
  for (int i = 0; peaked && i < kRows * 40; ++i) {
    int64_t row = i / 40, token = static_cast<int64_t>(random() % size);
    logits[row * size + token] += 14.0f - 0.35f * static_cast<float>(i % 40);
  }
  return logits;
}

void choose(
    benchmark::State& state, int size, bool peaked, const Truncation& truncation) {
  auto logits = rows(size, peaked ? 2.0f : 3.0f, peaked);
  int64_t calls = 0, sum = 0;
  for (auto _ : state) {
    const float* row = logits.data() + calls % kRows * size;
    float u = static_cast<float>(++calls % 97) / 97.0f;
    sum += cpu::choose_token(row, size, u, truncation).token;
  }
  benchmark::DoNotOptimize(sum);
}

void add(const char* name, const Truncation& truncation) {
  for (int size : {49152, 151936}) {
    for (bool peaked : {true, false}) {
      auto full = std::string(name) + "/" + std::to_string(size) +
                  (peaked ? "/peaked" : "/normal");
      benchmark::RegisterBenchmark(
          full.c_str(),
          [=](benchmark::State& state) { choose(state, size, peaked, truncation); })
          ->Apply(best)
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace
}  // namespace pupil

int main(int argc, char** argv) {
  pupil::add("greedy", {.temperature = 0.0f});
  pupil::add("all", {});
  pupil::add("top_p", {.top_p = 0.95f});
  pupil::add("top_k", {.top_k = 50});
  pupil::add("min_p", {.min_p = 0.05f});
  pupil::add("together", {.top_k = 50, .top_p = 0.95f, .min_p = 0.05f});
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
