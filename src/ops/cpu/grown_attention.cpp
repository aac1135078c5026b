// Attention of new tokens to whole sequences; see ops/attention.h.

#include "ops/cpu/attention_primitive.h"
#include "ops/cpu/attention_run.h"
#include "ops/cpu/head_input.h"

namespace pupil::cpu {
namespace {

using Arrays = std::vector<mx::array>;

/// Inputs: q, then the k and v of each sequence.
class FusedGrown : public CpuPrimitive {
 public:
  FusedGrown(mx::Stream stream, std::vector<int> num_new, float scale)
      : CpuPrimitive(stream), num_new_(std::move(num_new)), scale_(scale) {}
  const char* name() const override { return "FusedAttention"; }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(
        inputs,
        outputs,
        [counts = num_new_, scale = scale_](const Arrays& in, Arrays& out) {
          run(in, out, counts, scale);
        });
  }

 private:
  std::vector<int> num_new_;
  float scale_;

  static void run(
      const Arrays& in, Arrays& out, const std::vector<int>& counts, float scale) {
    FloatInput q(in[0]);
    FloatOutput result(out[0]);
    std::vector<HeadInput> kept;  // until the kernels have read them
    kept.reserve(in.size());
    std::vector<AttentionJob> jobs;
    int64_t heads = in[0].shape(1), width = in[0].shape(2), begin = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      const auto& k = in[1 + 2 * i];
      Attention a{};
      a.q = {q.data() + begin * heads * width, 0, width, heads * width};
      a.k = kept.emplace_back(k).view();
      a.v = kept.emplace_back(in[2 + 2 * i]).view();
      a.heads = heads;
      a.kv_heads = k.shape(1);
      a.queries = counts[i];
      a.own = k.shape(2);
      a.width = width;
      a.scale = scale;
      a.layout = {0, 1, heads};
      a.out = result.data() + begin * heads * width;
      jobs.push_back({a, 1});
      begin += counts[i];
    }
    run_attention(jobs);
    result.finish();
  }
};

}  // namespace

mx::array fused_grown(
    const mx::array& q, const std::vector<GrownSequence>& sequences, float scale) {
  Arrays inputs{q};
  std::vector<int> num_new;
  for (const auto& s : sequences) {
    inputs.insert(inputs.end(), {s.k, s.v});
    num_new.push_back(s.num_new);
  }
  return mx::array(
      q.shape(),
      q.dtype(),
      std::make_shared<FusedGrown>(current_stream(), std::move(num_new), scale),
      std::move(inputs));
}

}  // namespace pupil::cpu
