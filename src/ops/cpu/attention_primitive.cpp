#include "ops/cpu/attention_primitive.h"

#include <cstdint>
#include <cstring>

#include "ops/cpu/attention_run.h"
#include "ops/cpu/head_input.h"
#include "ops/cpu/packed_attention.h"

namespace pupil::cpu {
namespace {

using Arrays = std::vector<mx::array>;
using Segments = std::vector<Segment>;

PackedHeads heads_of(const Arrays& in) {
  return {in[0].shape(1), in[1].shape(1), in[0].shape(2)};
}

class PackedAttentionVjp : public CpuPrimitive {
 public:
  PackedAttentionVjp(mx::Stream stream, Segments segments, float scale)
      : CpuPrimitive(stream), segments_(std::move(segments)), scale_(scale) {}
  const char* name() const override { return "AttentionVjp"; }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(
        inputs,
        outputs,
        [s = segments_, scale = scale_](const Arrays& in, Arrays& out) {
          FloatInput q(in[0]), k(in[1]), v(in[2]), result(in[3]), lse(in[4]), dy(in[5]);
          FloatOutput dq(out[0]), dk(out[1]), dv(out[2]);
          PackedAttention packed(
              {q.data(), k.data(), v.data()}, heads_of(in), s, scale);
          packed.backward(
              {result.data(), lse.data(), dy.data(), dq.data(), dk.data(), dv.data()});
          dq.finish();
          dk.finish();
          dv.finish();
        });
  }

 private:
  Segments segments_;
  float scale_;
};

class FusedAttention : public CpuPrimitive {
 public:
  FusedAttention(mx::Stream stream, Segments segments, float scale)
      : CpuPrimitive(stream), segments_(std::move(segments)), scale_(scale) {}
  const char* name() const override { return "FusedAttention"; }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(
        inputs,
        outputs,
        [s = segments_, scale = scale_](const Arrays& in, Arrays& out) {
          FloatInput q(in[0]), k(in[1]), v(in[2]);
          FloatOutput result(out[0]);
          PackedAttention packed(
              {q.data(), k.data(), v.data()}, heads_of(in), s, scale);
          packed.forward(result.data(), out[1].data<float>());
          result.finish();
        });
  }

  Arrays vjp(
      const Arrays& primals,
      const Arrays& cotangents,
      const std::vector<int>& argnums,
      const Arrays& outputs) override {
    Arrays inputs = primals;
    inputs.insert(inputs.end(), {outputs[0], outputs[1], cotangents[0]});
    auto g = mx::array::make_arrays(
        {primals[0].shape(), primals[1].shape(), primals[2].shape()},
        {primals[0].dtype(), primals[1].dtype(), primals[2].dtype()},
        std::make_shared<PackedAttentionVjp>(stream(), segments_, scale_),
        inputs);
    Arrays gradients;
    for (int i : argnums) gradients.push_back(g[i]);
    return gradients;
  }

 private:
  Segments segments_;
  float scale_;
};

/// Inputs: q, tail_k, tail_v, then a prefix's k and v for each run of rows.
class FusedDecode : public CpuPrimitive {
 public:
  FusedDecode(
      mx::Stream stream, std::vector<int> rows, std::vector<int> lengths, float scale)
      : CpuPrimitive(stream),
        rows_(std::move(rows)),
        lengths_(std::move(lengths)),
        scale_(scale) {}
  const char* name() const override { return "FusedDecode"; }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(
        inputs,
        outputs,
        [rows = rows_, lengths = lengths_, scale = scale_](
            const Arrays& in, Arrays& out) { run(in, out, rows, lengths, scale); });
  }

 private:
  std::vector<int> rows_, lengths_;
  float scale_;

  static void run(
      const Arrays& in,
      Arrays& out,
      const std::vector<int>& rows,
      const std::vector<int>& lengths,
      float scale) {
    FloatOutput result(out[0]);
    HeadInput q(in[0]), tail_k(in[1]), tail_v(in[2]);
    std::vector<HeadInput> prefixes;
    prefixes.reserve(in.size());
    for (size_t i = 3; i < in.size(); ++i) prefixes.emplace_back(in[i]);
    int64_t row = 0, heads = in[0].shape(1), width = in[0].shape(3);
    std::vector<AttentionJob> jobs;
    for (size_t i = 0; i < rows.size(); ++i) {
      Attention a{};
      a.q = q.view(row);
      a.k = tail_k.view(row);
      a.v = tail_v.view(row);
      a.prefix_k = prefixes[2 * i].view();
      a.prefix_v = prefixes[2 * i + 1].view();
      a.heads = heads;
      a.kv_heads = in[1].shape(1);
      a.queries = 1;
      a.prefix = in[3 + 2 * i].shape(2);
      a.lengths = lengths.data() + row;
      a.width = width;
      a.scale = scale;
      a.layout = {heads, 1, 1};
      a.out = result.data() + row * heads * width;
      jobs.push_back({a, rows[i]});
      row += rows[i];
    }
    run_attention(jobs);
    result.finish();
  }
};

}  // namespace

mx::array fused_attention(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const std::vector<Segment>& segments,
    float scale) {
  return mx::array::make_arrays(
      {q.shape(), {q.shape(0), q.shape(1)}},
      {q.dtype(), mx::float32},
      std::make_shared<FusedAttention>(current_stream(), segments, scale),
      {q, k, v})[0];
}

mx::array fused_decode(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const mx::array& tail_k,
    const mx::array& tail_v,
    const std::vector<int>& lengths,
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
      std::make_shared<FusedDecode>(current_stream(), std::move(rows), lengths, scale),
      std::move(inputs));
}

}  // namespace pupil::cpu
