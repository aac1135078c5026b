#include "ops/cpu/sample_primitive.h"

#include "ops/cpu/arrays.h"
#include "ops/cpu/choose_token.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {

namespace {

class SampleTokens : public CpuPrimitive {
 public:
  SampleTokens(mx::Stream stream, const Truncation& truncation)
      : CpuPrimitive(stream), truncation_(truncation) {}

  const char* name() const override { return "SampleTokens"; }

  void eval_cpu(
      const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    dispatch(inputs, outputs, [truncation = truncation_](auto& in, auto& out) {
      FloatInput logits(in[0]), uniforms(in[1]);
      int width = in[0].shape(1);
      int* tokens = out[0].template data<int>();
      float* logprobs = out[1].template data<float>();
      parallel_for(in[0].shape(0), [&](int r) {
        const float* row = logits.data() + static_cast<int64_t>(r) * width;
        auto choice = choose_token(row, width, uniforms.data()[r], truncation);
        tokens[r] = choice.token;
        logprobs[r] = choice.logprob;
      });
    });
  }

 private:
  Truncation truncation_;
};

}  // namespace

SampledTokens sample_tokens_fused(
    const mx::array& logits, const mx::array& uniforms, const Truncation& truncation) {
  mx::Shape rows = {logits.shape(0)};
  auto outputs = mx::array::make_arrays(
      {rows, rows},
      {mx::int32, mx::float32},
      std::make_shared<SampleTokens>(current_stream(), truncation),
      {logits, uniforms});
  return {outputs[0], outputs[1]};
}

}  // namespace pupil::cpu
