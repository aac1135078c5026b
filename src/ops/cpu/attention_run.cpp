#include "ops/cpu/attention_run.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {
namespace {

constexpr int64_t kTilePairs = 64;  // (query, head) pairs of a tile, about

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// A job cut into tiles over rows, key heads and queries.
struct Tiles {
  const AttentionJob* job;
  int64_t batches, queries;  // of a tile
  int first;                 // its first tile among all jobs'

  int64_t num_queries() const { return ceil_div(job->attention.queries, queries); }
  int count() const {
    return static_cast<int>(
        ceil_div(job->batches, batches) * job->attention.kv_heads * num_queries());
  }
  AttentionTile at(int64_t i) const {
    const auto& a = job->attention;
    int64_t q = i % num_queries(), h = i / num_queries() % a.kv_heads;
    int64_t b = i / num_queries() / a.kv_heads;
    return {
        b * batches,
        std::min(job->batches, (b + 1) * batches),
        h,
        q * queries,
        std::min(a.queries, (q + 1) * queries)};
  }
  int64_t rows() const {
    return batches * queries * (job->attention.heads / job->attention.kv_heads);
  }
};

// Decode rows of one prefix share a tile, so that its keys are read once.
Tiles tiles_for(const AttentionJob& job, int first) {
  const auto& a = job.attention;
  int64_t group = a.heads / a.kv_heads;
  Tiles t{&job, 1, std::clamp<int64_t>(kTilePairs / group, 1, a.queries), first};
  if (a.queries == 1) {
    int64_t wanted = ceil_div(job.batches * a.kv_heads, 2 * num_threads());
    t.batches =
        std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, kTilePairs / group));
  }
  return t;
}

}  // namespace

void run_attention(std::span<const AttentionJob> jobs) {
  std::vector<Tiles> all;
  int count = 0;
  for (const auto& job : jobs) {
    if (job.batches == 0 || job.attention.queries == 0) continue;
    all.push_back(tiles_for(job, count));
    count += all.back().count();
  }
  parallel_for(count, [&](int i) {
    auto next =
        std::upper_bound(all.begin(), all.end(), i, [](int tile, const Tiles& t) {
          return tile < t.first;
        });
    const auto& tiles = *std::prev(next);
    const auto& a = tiles.job->attention;
    auto floats =
        static_cast<size_t>(attention_scratch(tiles.rows(), a.width, a.group > 0));
    auto scratch = std::make_unique_for_overwrite<float[]>(floats);
    kernels().attention(a, tiles.at(i - tiles.first), scratch.get());
  });
}

void run_gradient(const AttentionGradientJob& job) {
  const auto& a = job.attention;
  int64_t group = a.heads / a.kv_heads;
  int64_t step =
      std::clamp<int64_t>(kTilePairs / group, 1, std::max<int64_t>(1, a.queries));
  auto floats = static_cast<size_t>(attention_gradient_scratch(step * group, a.width));
  auto scratch = std::make_unique_for_overwrite<float[]>(floats);
  for (int64_t t = 0; t < a.queries; t += step) {
    AttentionTile tile{0, 1, job.kv_head, t, std::min(t + step, a.queries)};
    kernels().attention_gradient(a, job.gradient, tile, scratch.get());
  }
}

}  // namespace pupil::cpu
