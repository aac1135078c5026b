#include "ops/cpu/attention_primitive.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "ops/cpu/attention_types.h"
#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {
namespace {

using Arrays = std::vector<mx::array>;

constexpr int64_t kTilePairs = 64;  // (query, head) pairs of a tile, about

/// A strided view of an array, or of a float32 copy of it.
class HeadInput {
 public:
  explicit HeadInput(const mx::array& x) {
    if (x.dtype() == mx::float32 && (x.strides(3) == 1 || x.shape(3) == 1)) {
      view_ = {x.data<float>(), x.strides(0), x.strides(1), x.strides(2)};
      return;
    }
    copy_.emplace(x);
    int64_t token = x.shape(3), head = token * x.shape(2);
    view_ = {copy_->data(), head * x.shape(1), head, token};
  }
  const HeadView& view() const { return view_; }

 private:
  std::optional<FloatInput> copy_;
  HeadView view_{};
};

struct Tiles {
  int64_t batches, queries;                 // of a tile
  int64_t num_batches, heads, num_queries;  // number of tiles along each
  int count() const { return static_cast<int>(num_batches * heads * num_queries); }

  AttentionTile at(int64_t i, int64_t all_batches, int64_t all_queries) const {
    int64_t q = i % num_queries, h = i / num_queries % heads;
    int64_t b = i / num_queries / heads;
    return {
        b * batches,
        std::min(all_batches, (b + 1) * batches),
        h,
        q * queries,
        std::min(all_queries, (q + 1) * queries)};
  }
};

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Decode rows of one prefix share a tile, so that its keys are read once.
Tiles tiles_for(const Attention& a, int64_t batches) {
  int64_t group = a.heads / a.kv_heads;
  Tiles t{};
  t.queries = std::clamp<int64_t>(kTilePairs / group, 1, a.queries);
  t.batches = 1;
  if (a.queries == 1) {
    int64_t wanted = ceil_div(batches * a.kv_heads, 2 * num_threads());
    t.batches =
        std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, kTilePairs / group));
  }
  t.num_batches = ceil_div(batches, t.batches);
  t.heads = a.kv_heads;
  t.num_queries = ceil_div(a.queries, t.queries);
  return t;
}

// Tiles over rows and key heads; the queries follow each other, adding to dk and dv.
void run_backward(const Attention& a, const AttentionGradient& g, int64_t batches) {
  int64_t group = a.heads / a.kv_heads;
  int64_t step =
      std::clamp<int64_t>(kTilePairs / group, 1, std::max<int64_t>(1, a.queries));
  auto floats = static_cast<size_t>(attention_gradient_scratch(step * group, a.width));
  parallel_for(static_cast<int>(batches * a.kv_heads), [&](int i) {
    auto scratch = std::make_unique_for_overwrite<float[]>(floats);
    int64_t b = i / a.kv_heads, head = i % a.kv_heads;
    for (int64_t t = 0; t < a.queries; t += step) {
      AttentionTile tile{b, b + 1, head, t, std::min(t + step, a.queries)};
      kernels().attention_gradient(a, g, tile, scratch.get());
    }
  });
}

/// q, prefix_k, prefix_v, k, v as views.
struct Inputs {
  HeadInput q, prefix_k, prefix_v, k, v;
  explicit Inputs(const Arrays& in)
      : q(in[0]), prefix_k(in[1]), prefix_v(in[2]), k(in[3]), v(in[4]) {}

  Attention attention(const Arrays& in, float scale) const {
    Attention a{};
    a.q = q.view();
    a.prefix_k = prefix_k.view();
    a.prefix_v = prefix_v.view();
    a.k = k.view();
    a.v = v.view();
    a.heads = in[0].shape(1);
    a.kv_heads = in[3].shape(1);
    a.queries = in[0].shape(2);
    a.prefix = in[1].shape(2);
    a.own = in[3].shape(2);
    a.width = in[0].shape(3);
    a.scale = scale;
    return a;
  }
};

// out: the result and its log-sums.
void forward(const Arrays& in, Arrays& out, float scale) {
  Inputs inputs(in);
  FloatOutput result(out[0]);
  auto a = inputs.attention(in, scale);
  a.out = result.data();
  a.lse = out[1].data<float>();
  run_attention(a, in[0].shape(0));
  result.finish();
}

// in: the five inputs, the result, its log-sums, its gradient; out: dq, dk, dv, the
// last two of the prefix's and the own keys.
void backward(const Arrays& in, Arrays& out, float scale) {
  Inputs inputs(in);
  FloatInput result(in[5]), lse(in[6]), dout(in[7]);
  auto a = inputs.attention(in, scale);
  a.out = const_cast<float*>(result.data());  // read only, as are the log-sums
  a.lse = const_cast<float*>(lse.data());
  AttentionGradient g{
      dout.data(), out[0].data<float>(), out[1].data<float>(), out[2].data<float>()};
  std::memset(g.dk, 0, out[1].nbytes());
  std::memset(g.dv, 0, out[2].nbytes());
  run_backward(a, g, in[0].shape(0));
}

class AttentionVjp : public CpuPrimitive {
 public:
  AttentionVjp(mx::Stream stream, float scale) : CpuPrimitive(stream), scale_(scale) {}
  const char* name() const override { return "AttentionVjp"; }
  bool is_equivalent(const mx::Primitive& other) const override {
    return static_cast<const AttentionVjp&>(other).scale_ == scale_;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, [scale = scale_](const Arrays& in, Arrays& out) {
      backward(in, out, scale);
    });
  }

 private:
  float scale_;
};

mx::array positions(const mx::array& x, int begin, int end) {
  return mx::slice(x, {0, 0, begin, 0}, {x.shape(0), x.shape(1), end, x.shape(3)});
}

class FusedAttention : public CpuPrimitive {
 public:
  FusedAttention(mx::Stream stream, float scale)
      : CpuPrimitive(stream), scale_(scale) {}
  const char* name() const override { return "FusedAttention"; }
  bool is_equivalent(const mx::Primitive& other) const override {
    return static_cast<const FusedAttention&>(other).scale_ == scale_;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, [scale = scale_](const Arrays& in, Arrays& out) {
      forward(in, out, scale);
    });
  }

  Arrays vjp(
      const Arrays& primals,
      const Arrays& cotangents,
      const std::vector<int>& argnums,
      const Arrays& outputs) override {
    Arrays inputs = primals;
    inputs.insert(inputs.end(), {outputs[0], outputs[1], cotangents[0]});
    auto& q = primals[0];
    auto& k = primals[3];
    int prefix = primals[1].shape(2), total = prefix + k.shape(2);
    mx::Shape keys{k.shape(0), k.shape(1), total, k.shape(3)};
    auto g = mx::array::make_arrays(
        {q.shape(), keys, keys},
        {mx::float32, mx::float32, mx::float32},
        std::make_shared<AttentionVjp>(stream(), scale_),
        inputs);
    auto shared = [&](const mx::array& x) {
      return mx::sum(positions(x, 0, prefix), 0, true);
    };
    auto own = [&](const mx::array& x) { return positions(x, prefix, total); };
    Arrays gradients;
    for (int i : argnums) {
      auto part = i == 0   ? g[0]
                  : i == 1 ? shared(g[1])
                  : i == 2 ? shared(g[2])
                  : i == 3 ? own(g[1])
                           : own(g[2]);
      gradients.push_back(mx::astype(part, primals[i].dtype()));
    }
    return gradients;
  }

 private:
  float scale_;
};

/// Inputs: q, tail_k, tail_v, then a prefix's k and v for each run of rows.
class FusedDecode : public CpuPrimitive {
 public:
  FusedDecode(mx::Stream stream, std::vector<int> rows, int length, float scale)
      : CpuPrimitive(stream), rows_(std::move(rows)), length_(length), scale_(scale) {}
  const char* name() const override { return "FusedDecode"; }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(
        inputs,
        outputs,
        [rows = rows_, length = length_, scale = scale_](
            const Arrays& in, Arrays& out) { run(in, out, rows, length, scale); });
  }

 private:
  std::vector<int> rows_;
  int length_;
  float scale_;

  static void run(
      const Arrays& in,
      Arrays& out,
      const std::vector<int>& rows,
      int length,
      float scale) {
    FloatOutput result(out[0]);
    HeadInput q(in[0]), tail_k(in[1]), tail_v(in[2]);
    int64_t row = 0, row_size = in[0].shape(1) * in[0].shape(3);
    for (size_t i = 0; i < rows.size(); ++i) {
      auto &k = in[3 + 2 * i], &v = in[4 + 2 * i];
      HeadInput prefix_k(k), prefix_v(v);
      auto from = [&](HeadView view) {
        view.data += row * view.batch;
        return view;
      };
      Attention a{};
      a.q = from(q.view());
      a.k = from(tail_k.view());
      a.v = from(tail_v.view());
      a.prefix_k = prefix_k.view();
      a.prefix_v = prefix_v.view();
      a.heads = in[0].shape(1);
      a.kv_heads = in[1].shape(1);
      a.queries = 1;
      a.prefix = k.shape(2);
      a.own = length;
      a.width = in[0].shape(3);
      a.scale = scale;
      a.out = result.data() + row * row_size;
      run_attention(a, rows[i]);
      row += rows[i];
    }
    result.finish();
  }
};

}  // namespace

void run_attention(const Attention& a, int64_t batches) {
  if (batches == 0 || a.queries == 0) return;
  auto tiles = tiles_for(a, batches);
  int64_t rows = tiles.batches * tiles.queries * (a.heads / a.kv_heads);
  auto floats = static_cast<size_t>(attention_scratch(rows, a.width));
  parallel_for(tiles.count(), [&](int i) {
    auto scratch = std::make_unique_for_overwrite<float[]>(floats);
    kernels().attention(a, tiles.at(i, batches, a.queries), scratch.get());
  });
}

mx::array fused_attention(
    const mx::array& q,
    const mx::array& prefix_k,
    const mx::array& prefix_v,
    const mx::array& k,
    const mx::array& v,
    float scale) {
  mx::Shape per_query{q.shape(0), q.shape(1), q.shape(2)};
  return mx::array::make_arrays(
      {q.shape(), per_query},
      {q.dtype(), mx::float32},
      std::make_shared<FusedAttention>(current_stream(), scale),
      {q, prefix_k, prefix_v, k, v})[0];
}

mx::array fused_decode(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const mx::array& tail_k,
    const mx::array& tail_v,
    int length,
    float scale) {
  Arrays inputs{q, tail_k, tail_v};
  std::vector<int> rows;
  for (const auto& prefix : prefixes) {
    inputs.insert(inputs.end(), {prefix.k, prefix.v});
    rows.push_back(prefix.num_rows);
  }
  return mx::array(
      q.shape(),
      q.dtype(),
      std::make_shared<FusedDecode>(current_stream(), std::move(rows), length, scale),
      std::move(inputs));
}

}  // namespace pupil::cpu
