#include "ops/cpu/decode_block.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <stdexcept>

#include "ops/cpu/attention_run.h"
#include "ops/cpu/cpu_features.h"
#include "ops/cpu/rope_primitive.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {
namespace {

using Arrays = std::vector<mx::array>;

constexpr int kFixedInputs = 5;  // x, cos, sin, tail_k, tail_v; then the prefixes'

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
      int length,
      float scale,
      const Arrays& in,
      Arrays& out)
      : w_(weights),
        length_(length),
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
    store_turned(k, r, out_[1]);
    store(scratch_.v + r * w_.v.out(), r, out_[2]);
  }

  void store(const float* heads, int64_t row, mx::array& tail) {
    int64_t room = tail.shape(2), width = w_.width;
    for (int64_t h = 0; h < w_.kv_heads; ++h) {
      int64_t at = ((row * w_.kv_heads + h) * room + length_) * width;
      std::memcpy(tail.data<float>() + at, heads + h * width, sizeof(float) * width);
    }
  }

  void store_turned(const float* heads, int64_t row, mx::array& tail) {
    int64_t room = tail.shape(3), count = w_.kv_heads * w_.width;
    float* column = tail.data<float>() + row * count * room + length_;
    for (int64_t i = 0; i < count; ++i) column[i * room] = heads[i];
  }

  void attend(const std::vector<int>& prefix_rows) {
    int64_t row = 0, width = w_.width, size = w_.q.out();
    std::vector<AttentionJob> jobs;
    for (size_t i = 0; i < prefix_rows.size(); ++i) {
      const auto &k = in_[kFixedInputs + 2 * i], &v = in_[kFixedInputs + 2 * i + 1];
      Attention a{};
      a.q = {scratch_.q + row * size, size, width, width};
      a.prefix_k = view(k, 0);
      a.prefix_v = view(v, 0);
      a.k = view(out_[1], row);
      a.v = view(out_[2], row);
      a.heads = w_.heads;
      a.kv_heads = w_.kv_heads;
      a.queries = 1;
      a.prefix = v.shape(2);
      a.own = length_ + 1;
      a.width = width;
      a.scale = scale_;
      a.turned = true;
      a.layout = {w_.heads, 1, 1};
      a.out = scratch_.attended + row * size;
      jobs.push_back({a, prefix_rows[i]});
      row += prefix_rows[i];
    }
    run_attention(jobs);
  }

  static HeadView view(const mx::array& x, int64_t row) {
    const float* data = x.data<float>() + row * x.strides(0);
    return {data, x.strides(0), x.strides(1), x.strides(2)};
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
  int length_;
  float scale_;
  const Arrays& in_;
  Arrays& out_;
  int64_t rows_, width_;
  Scratch scratch_;
};

/// Inputs: x, cos, sin, tail_k, tail_v, then a prefix's k and v for each run of rows.
class DecodeBlock : public CpuPrimitive {
 public:
  DecodeBlock(
      mx::Stream stream,
      std::shared_ptr<const BlockWeights> weights,
      std::vector<int> prefix_rows,
      int length,
      float scale)
      : CpuPrimitive(stream),
        weights_(std::move(weights)),
        prefix_rows_(std::move(prefix_rows)),
        length_(length),
        scale_(scale) {}

  const char* name() const override { return "DecodeBlock"; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    allocate(outputs[0]);
    take_over(inputs[3], outputs[1]);
    take_over(inputs[4], outputs[2]);
    queue(
        inputs,
        outputs,
        [w = weights_, rows = prefix_rows_, length = length_, scale = scale_](
            const Arrays& in, Arrays& out) { Run(*w, length, scale, in, out)(rows); });
  }

 private:
  std::shared_ptr<const BlockWeights> weights_;
  std::vector<int> prefix_rows_;
  int length_;
  float scale_;

  // The old tail's memory, whoever else still holds it: tasks of the steps before may,
  // and none of them reads the new token's place.
  static void take_over(const mx::array& in, mx::array& out) {
    if (!in.flags().row_contiguous || in.data_size() != in.size())
      throw std::invalid_argument(
          "[decode_block] a tail must lie in memory of its own");
    out.copy_shared_buffer(in);
  }
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

mx::array turned_keys(const mx::array& keys) {
  auto turned = mx::swapaxes(keys, 2, 3);
  return mx::pad(turned, {3}, {0}, {kKeyBlock}, mx::array(0.0f));
}

BlockResult decode_block(
    const std::shared_ptr<const BlockWeights>& weights,
    const mx::array& x,
    const RopeTable& table,
    const BlockCache& cache,
    float scale) {
  Arrays inputs = {x, table.cos, table.sin, cache.tail_k, cache.tail_v};
  std::vector<int> rows;
  for (const auto& prefix : cache.prefixes) {
    inputs.insert(inputs.end(), {prefix.k, prefix.v});
    rows.push_back(prefix.num_rows);
  }
  auto out = mx::array::make_arrays(
      {x.shape(), cache.tail_k.shape(), cache.tail_v.shape()},
      {mx::float32, mx::float32, mx::float32},
      std::make_shared<DecodeBlock>(
          current_stream(), weights, std::move(rows), cache.length, scale),
      inputs);
  return {out[0], out[1], out[2]};
}

}  // namespace pupil::cpu
