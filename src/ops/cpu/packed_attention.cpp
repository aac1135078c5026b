#include "ops/cpu/packed_attention.h"

#include <cstring>

#include "ops/cpu/attention_run.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {

PackedAttention::PackedAttention(
    const PackedInputs& inputs,
    const PackedHeads& heads,
    const std::vector<Segment>& segments,
    float scale)
    : in_(inputs), heads_(heads), segments_(segments), scale_(scale), begins_{0} {
  for (const auto& s : segments_) begins_.push_back(begins_.back() + s.length);
}

int64_t PackedAttention::prefix_of(size_t segment) const {
  int parent = segments_[segment].parent;
  return parent < 0 ? 0 : segments_[parent].length;
}

Attention PackedAttention::attention(size_t segment, float* out, float* lse) const {
  const auto [heads, kv_heads, width] = heads_;
  auto view = [w = width](const float* data, int64_t num_heads, int64_t token) {
    return HeadView{data + token * num_heads * w, 0, w, num_heads * w};
  };
  int64_t begin = begins_[segment];
  Attention a{};
  a.q = view(in_.q, heads, begin);
  a.k = view(in_.k, kv_heads, begin);
  a.v = view(in_.v, kv_heads, begin);
  if (int parent = segments_[segment].parent; parent >= 0) {
    a.prefix_k = view(in_.k, kv_heads, begins_[parent]);
    a.prefix_v = view(in_.v, kv_heads, begins_[parent]);
  }
  a.heads = heads;
  a.kv_heads = kv_heads;
  a.queries = a.own = segments_[segment].length;
  a.prefix = prefix_of(segment);
  a.width = width;
  a.scale = scale_;
  a.layout = {0, 1, heads};
  a.out = out + begin * heads * width;
  a.lse = lse + begin * heads;
  return a;
}

void PackedAttention::forward(float* out, float* lse) const {
  std::vector<AttentionJob> jobs;
  for (size_t s = 0; s < segments_.size(); ++s)
    jobs.push_back({attention(s, out, lse), 1});
  run_attention(jobs);
}

void PackedAttention::backward(const PackedGradients& g) const {
  PrefixGradients shared(segments_.size());
  for (size_t s = 0; s < segments_.size(); ++s) {
    int64_t floats = 2 * heads_.kv_heads * prefix_of(s) * heads_.width;
    shared[s] = std::make_unique_for_overwrite<float[]>(floats);
  }
  int jobs = static_cast<int>(segments_.size() * heads_.kv_heads);
  parallel_for(jobs, [&](int i) {
    segment_backward(i / heads_.kv_heads, i % heads_.kv_heads, g, shared);
  });
  parallel_for(jobs, [&](int i) {
    add_branches(i / heads_.kv_heads, i % heads_.kv_heads, g, shared);
  });
}

void PackedAttention::segment_backward(
    size_t segment,
    int64_t head,
    const PackedGradients& g,
    PrefixGradients& shared) const {
  // The kernel reads the result and its log-sums.
  auto a = attention(segment, const_cast<float*>(g.out), const_cast<float*>(g.lse));
  int64_t w = a.width, keys = a.prefix + a.own, begin = begins_[segment];
  int64_t at = begin * heads_.heads * w;
  auto sums = std::make_unique<float[]>(2 * keys * w);  // dk, dv
  float *dk = sums.get(), *dv = dk + keys * w;
  run_gradient({a, {g.dout + at, g.dq + at, dk, dv}, head});

  float* prefix = shared[segment].get() + 2 * head * a.prefix * w;
  std::memcpy(prefix, dk, sizeof(float) * a.prefix * w);
  std::memcpy(prefix + a.prefix * w, dv, sizeof(float) * a.prefix * w);
  for (int64_t t = 0; t < a.own; ++t) {
    int64_t to = ((begin + t) * heads_.kv_heads + head) * w;
    std::memcpy(g.dk + to, dk + (a.prefix + t) * w, sizeof(float) * w);
    std::memcpy(g.dv + to, dv + (a.prefix + t) * w, sizeof(float) * w);
  }
}

void PackedAttention::add_branches(
    size_t parent,
    int64_t head,
    const PackedGradients& g,
    const PrefixGradients& shared) const {
  int64_t w = heads_.width, length = segments_[parent].length;
  for (size_t s = parent + 1; s < segments_.size(); ++s) {
    if (segments_[s].parent != static_cast<int>(parent)) continue;
    const float* dk = shared[s].get() + 2 * head * length * w;
    const float* dv = dk + length * w;
    for (int64_t t = 0; t < length; ++t) {
      int64_t to = ((begins_[parent] + t) * heads_.kv_heads + head) * w;
      for (int64_t e = 0; e < w; ++e) {
        g.dk[to + e] += dk[t * w + e];
        g.dv[to + e] += dv[t * w + e];
      }
    }
  }
}

}  // namespace pupil::cpu
