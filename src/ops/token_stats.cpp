#include "ops/token_stats.h"

#include "ops/cpu/arrays.h"
#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"

namespace pupil {

namespace {

struct Rows {
  const float* logits;  // [num_rows, width]
  const int32_t* targets;
  int width;
  float inverse_temperature;
};

void run_row(
    const Rows& in, int row, float* logprobs, float* entropy, float* gradient) {
  const float* x = in.logits + static_cast<size_t>(row) * in.width;
  cpu::ScoreRow scores{x, in.width, in.inverse_temperature};
  auto sums = cpu::kernels().row_sums(scores);
  int target = in.targets[row];
  bool known = target >= 0 && target < in.width;
  float chosen = known ? scores.gap(target, sums.max) : NAN;
  logprobs[row] = chosen - sums.log_sum;
  entropy[row] = sums.log_sum - sums.mean_gap;
  if (!gradient) return;
  float* g = gradient + static_cast<size_t>(row) * in.width;
  cpu::kernels().negative_softmax(scores, sums, g);
  if (known) g[target] += in.inverse_temperature;
}

class TokenStatsOp : public cpu::CpuPrimitive {
 public:
  TokenStatsOp(mx::Stream stream, float inverse_temperature)
      : CpuPrimitive(stream), inverse_temperature_(inverse_temperature) {}

  const char* name() const override { return "TokenStats"; }

  void eval_cpu(
      const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    dispatch(inputs, outputs, [scale = inverse_temperature_](auto& in, auto& out) {
      const auto& logits = in[0];
      Rows rows{
          logits.template data<float>(),
          in[1].template data<int32_t>(),
          logits.shape(1),
          scale};
      auto* logprobs = out[0].template data<float>();
      auto* entropy = out[1].template data<float>();
      auto* gradient = out.size() > 2 ? out[2].template data<float>() : nullptr;
      cpu::parallel_for(logits.shape(0), [&](int row) {
        run_row(rows, row, logprobs, entropy, gradient);
      });
    });
  }

  bool is_equivalent(const mx::Primitive& other) const override {
    return inverse_temperature_ ==
           static_cast<const TokenStatsOp&>(other).inverse_temperature_;
  }

 private:
  float inverse_temperature_;
};

}  // namespace

TokenStats token_stats_fallback(
    const mx::array& logits,
    const mx::array& targets,
    float temperature,
    bool with_gradient) {
  auto scaled = mx::astype(logits, mx::float32) * (1.0f / temperature);
  if (logits.shape(0) == 0) {
    auto none = mx::zeros({0});
    return {none, none, with_gradient ? std::optional(scaled) : std::nullopt};
  }
  auto index = mx::expand_dims(targets, -1);  // [N, 1]
  auto logp = scaled - mx::logsumexp(scaled, -1, true);
  auto p = mx::exp(logp);
  auto chosen = mx::squeeze(mx::take_along_axis(logp, index, -1), -1);
  // p log p is 0 at p = 0, where the product is not a number.
  auto terms = mx::where(p > mx::array(0.0f), p * logp, p);
  TokenStats stats{chosen, -mx::sum(terms, -1), std::nullopt};
  if (with_gradient) {
    auto ones = mx::ones(index.shape(), mx::float32);
    stats.gradient = mx::scatter_add_axis(-p, index, ones, -1) * (1.0f / temperature);
  }
  return stats;
}

TokenStats token_stats(
    const mx::array& logits,
    const mx::array& targets,
    float temperature,
    bool with_gradient) {
  auto stream = mx::to_stream({});
  if (stream.device != mx::Device::cpu) {
    return token_stats_fallback(logits, targets, temperature, with_gradient);
  }
  mx::Shape per_row = {logits.shape(0)};
  std::vector<mx::Shape> shapes = {per_row, per_row};
  if (with_gradient) shapes.push_back(logits.shape());
  auto outputs = mx::array::make_arrays(
      shapes,
      std::vector<mx::Dtype>(shapes.size(), mx::float32),
      std::make_shared<TokenStatsOp>(stream, 1.0f / temperature),
      {mx::contiguous(mx::astype(logits, mx::float32)),
       mx::contiguous(mx::astype(targets, mx::int32))});
  TokenStats stats{outputs[0], outputs[1], std::nullopt};
  if (with_gradient) stats.gradient = outputs[2];
  return stats;
}

}  // namespace pupil
