#include "ops/cpu/decode_block.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "ops/cpu/attention_run.h"
#include "ops/cpu/cpu_features.h"
#include "ops/cpu/kv_code.h"
#include "ops/cpu/rope_primitive.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {
namespace {

using Arrays = std::vector<mx::array>;

constexpr int kFixedInputs = 4;  // x, cos, sin, written; then the prefixes'

void add(float* x, const float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] += y[i];
}

/// The layer's intermediate rows, in one allocation.
struct Scratch {
  std::unique_ptr<float[]> memory;
  float *normed, *q, *k, *v, *attended, *gate, *up, *sum;

  Scratch(const BlockWeights& w, int64_t rows, int64_t width) {
    int64_t queries = w.q.out(), keys = w.k.out(), inner = w.gate.out();
    int64_t floats = 2 * width + 2 * queries + 2 * keys + 2 * inner;
    memory = std::make_unique_for_overwrite<float[]>(rows * floats);
    float* next = memory.get();
    auto take = [&](int64_t count) { return std::exchange(next, next + rows * count); };
    normed = take(width);
    q = take(queries);
    k = take(keys);
    v = take(keys);
    attended = take(queries);
    gate = take(inner);
    up = take(inner);
    sum = take(width);
  }
};

/// One run of the layer.
class Run {
 public:
  Run(const BlockWeights& weights,
      const PageTable& own,
      const PageShape& shape,
      int layer,
      float scale,
      const Arrays& in,
      Arrays& out)
      : w_(weights),
        own_(own),
        group_(shape.group),
        page_at_(layer * shape.layer_floats()),
        scale_(scale),
        in_(in),
        out_(out),
        rows_(in[0].shape(0)),
        width_(in[0].shape(1)),
        scratch_(weights, rows_, width_) {}

  void operator()(const std::vector<int>& prefix_rows) {
    float* x = out_[0].data<float>();
    std::memcpy(x, in_[0].data<float>(), in_[0].nbytes());
    norm(x, w_.input_norm);
    project();
    attend(prefix_rows);
    apply(scratch_.attended, {{w_.o, scratch_.sum}});
    add(x, scratch_.sum, rows_ * width_);
    norm(x, w_.post_norm);
    feed_forward();
    add(x, scratch_.sum, rows_ * width_);
  }

 private:
  struct Use {
    const BlockLinear& linear;
    float* y;
  };

  // Linears of the same input.
  void apply(const float* x, std::initializer_list<Use> uses) {
    std::vector<Product> products;
    for (const auto& use : uses)
      products.push_back(use.linear.product(x, rows_, use.y));
    multiply(products);
    for (const auto& use : uses) use.linear.add_bias(rows_, use.y);
  }

  void norm(const float* x, const mx::array& weight) {
    kernels().rms_norm(
        x, weight.data<float>(), w_.norm_eps, scratch_.normed, rows_, width_);
  }

  // Queries, and the new keys and values in their places.
  void project() {
    apply(
        scratch_.normed, {{w_.q, scratch_.q}, {w_.k, scratch_.k}, {w_.v, scratch_.v}});
    constexpr int64_t kRows = 4;  // of a piece
    parallel_for(static_cast<int>((rows_ + kRows - 1) / kRows), [&](int piece) {
      for (int64_t r = piece * kRows; r < std::min(rows_, (piece + 1) * kRows); ++r)
        place(r);
    });
  }

  // Row r's query and key turned by its position, its key and value into the cache.
  void place(int64_t r) {
    int64_t angle = r * (w_.width / 2);
    const float *cos = in_[1].data<float>() + angle,
                *sin = in_[2].data<float>() + angle;
    rope_row(scratch_.q + r * w_.q.out(), cos, sin, w_.heads, w_.width);
    float* k = scratch_.k + r * w_.k.out();
    rope_row(k, cos, sin, w_.kv_heads, w_.width);
    const float* v = scratch_.v + r * w_.v.out();
    if (group_ > 0)
      store_codes(k, v, r);
    else
      store(k, v, r);
  }

  // Keys turned: one column of the page.
  void store(const float* k, const float* v, int64_t row) {
    int64_t count = w_.kv_heads * w_.width, place = own_.last_place(row);
    float* keys = own_.last_page(row) + page_at_;
    float* values = keys + count * kPageTokens;
    for (int64_t i = 0; i < count; ++i) keys[i * kPageTokens + place] = k[i];
    for (int64_t h = 0; h < w_.kv_heads; ++h)
      std::memcpy(
          values + (h * kPageTokens + place) * w_.width,
          v + h * w_.width,
          sizeof(float) * w_.width);
  }

  void store_codes(const float* k, const float* v, int64_t row) {
    CodedHead head(w_.width);
    int64_t bytes = head.token_bytes(), place = own_.last_place(row);
    auto* keys = reinterpret_cast<uint8_t*>(own_.last_page(row) + page_at_);
    auto* values = keys + w_.kv_heads * bytes * kPageTokens;
    for (int64_t h = 0; h < w_.kv_heads; ++h) {
      code_key(k + h * w_.width, head, place, keys + h * bytes * kPageTokens);
      code_value(v + h * w_.width, head, values + (h * kPageTokens + place) * bytes);
    }
  }

  void attend(const std::vector<int>& prefix_rows) {
    int64_t row = 0, width = w_.width, size = w_.q.out();
    std::vector<AttentionJob> jobs;
    for (size_t i = 0; i < prefix_rows.size(); ++i) {
      const auto &k = in_[kFixedInputs + 2 * i], &v = in_[kFixedInputs + 2 * i + 1];
      Attention a{};
      a.q = {scratch_.q + row * size, size, width, width};
      if (group_ > 0) {
        a.coded = {k.data<uint8_t>(), v.data<uint8_t>(), k.strides(1), v.strides(1)};
      } else {
        a.prefix_k = view(k);
        a.prefix_v = view(v);
      }
      a.lengths = own_.lengths(row);
      a.pages = own_.pages(row);
      a.page_at = page_at_;
      a.heads = w_.heads;
      a.kv_heads = w_.kv_heads;
      a.queries = 1;
      a.prefix = v.shape(2);
      a.width = width;
      a.scale = scale_;
      a.turned = true;
      a.group = group_;
      a.layout = {w_.heads, 1, 1};
      a.out = scratch_.attended + row * size;
      jobs.push_back({a, prefix_rows[i]});
      row += prefix_rows[i];
    }
    run_attention(jobs);
  }

  static HeadView view(const mx::array& x) {
    return {x.data<float>(), x.strides(0), x.strides(1), x.strides(2)};
  }

  void feed_forward() {
    apply(scratch_.normed, {{w_.gate, scratch_.gate}, {w_.up, scratch_.up}});
    constexpr int64_t kPiece = 8 * 1024;
    int64_t count = rows_ * w_.gate.out();
    parallel_for(static_cast<int>((count + kPiece - 1) / kPiece), [&](int piece) {
      int64_t at = piece * kPiece, n = std::min(kPiece, count - at);
      float* gate = scratch_.gate + at;
      kernels().swiglu(gate, scratch_.up + at, gate, n);
    });
    apply(scratch_.gate, {{w_.down, scratch_.sum}});
  }

  const BlockWeights& w_;
  const PageTable& own_;
  int64_t group_, page_at_;
  float scale_;
  const Arrays& in_;
  Arrays& out_;
  int64_t rows_, width_;
  Scratch scratch_;
};

/// Inputs: x, cos, sin, written, then a prefix's k and v for each run of rows.
class DecodeBlock : public CpuPrimitive {
 public:
  DecodeBlock(
      mx::Stream stream,
      std::shared_ptr<const BlockWeights> weights,
      std::shared_ptr<const PageTable> own,
      const PageShape& shape,
      std::vector<int> prefix_rows,
      int layer,
      float scale)
      : CpuPrimitive(stream),
        weights_(std::move(weights)),
        own_(std::move(own)),
        shape_(shape),
        prefix_rows_(std::move(prefix_rows)),
        layer_(layer),
        scale_(scale) {}

  const char* name() const override { return "DecodeBlock"; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    for (auto& out : outputs) allocate(out);
    queue(
        inputs,
        outputs,
        [w = weights_,
         own = own_,
         shape = shape_,
         rows = prefix_rows_,
         layer = layer_,
         scale = scale_](const Arrays& in, Arrays& out) {
          Run(*w, *own, shape, layer, scale, in, out)(rows);
        });
  }

 private:
  std::shared_ptr<const BlockWeights> weights_;
  std::shared_ptr<const PageTable> own_;
  PageShape shape_;
  std::vector<int> prefix_rows_;
  int layer_;
  float scale_;
};

}  // namespace

BlockLinear::BlockLinear(
    std::vector<mx::array> weight,
    const WeightFormat& format,
    const std::optional<mx::array>& bias,
    const std::optional<LowRank>& low_rank,
    int in,
    int out)
    : held_(std::move(weight)), in_(in), out_(out) {
  matrix_ = matrix_of(held_, format);
  if (bias) {
    held_.push_back(*bias);
    bias_ = bias->data<float>();
  }
  if (!low_rank) return;
  held_.insert(held_.end(), {low_rank->a, low_rank->b});
  int rank = low_rank->b.shape(0);
  term_ = {
      float_matrix(low_rank->a.data<float>(), low_rank->a.strides(0), false),
      float_matrix(low_rank->b.data<float>(), out, false),
      rank,
      low_rank->scale};
}

Product BlockLinear::product(const float* x, int64_t rows, float* y) const {
  return {{x, in_, matrix_, y, out_, rows, out_, in_, false}, term_};
}

void BlockLinear::add_bias(int64_t rows, float* y) const {
  if (!bias_) return;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < out_; ++i) y[r * out_ + i] += bias_[i];
}

// Up to a whole block.
mx::array turned_keys(const mx::array& keys) {
  auto turned = mx::swapaxes(keys, 2, 3);
  int block = static_cast<int>(kKeyBlock), past = turned.shape(3) % block;
  return mx::pad(turned, {3}, {0}, {past == 0 ? 0 : block - past}, mx::array(0.0f));
}

BlockResult decode_block(
    const std::shared_ptr<const BlockWeights>& weights,
    const mx::array& x,
    const RopeTable& table,
    const BlockCache& cache,
    float scale) {
  Arrays inputs = {x, table.cos, table.sin, cache.written};
  std::vector<int> rows;
  for (const auto& prefix : cache.prefixes) {
    inputs.insert(inputs.end(), {prefix.k, prefix.v});
    rows.push_back(prefix.num_rows);
  }
  auto out = mx::array::make_arrays(
      {x.shape(), cache.written.shape()},
      {mx::float32, mx::float32},
      std::make_shared<DecodeBlock>(
          current_stream(),
          weights,
          cache.own,
          cache.shape,
          std::move(rows),
          cache.layer,
          scale),
      inputs);
  return {out[0], out[1]};
}

}  // namespace pupil::cpu
