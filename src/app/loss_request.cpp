#include "app/loss_request.h"

#include <cmath>
#include <functional>
#include <stdexcept>
#include <vector>

#include "algo/policy_loss.h"
#include "algo/policy_metrics.h"
#include "algo/sampler_correction.h"
#include "app/token_selection.h"
#include "app/trl_request.h"
#include "app/trl_settings.h"
#include "ops/host_values.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

mx::array to_array(const NumberTable& table) {
  return mx::array(table.values.data(), {table.rows, table.columns}, mx::float32);
}

// A table of the shape of `logprobs`; none where unset.
std::optional<mx::array> like(
    const TrlRequest& request, const char* key, const mx::array& logprobs) {
  if (!request.has(key)) return std::nullopt;
  auto table = request.table(key);
  if (table.rows == logprobs.shape(0) && table.columns == logprobs.shape(1)) {
    return to_array(table);
  }
  auto shape = [](int rows, int columns) {
    return "[" + std::to_string(rows) + "][" + std::to_string(columns) + "]";
  };
  throw std::invalid_argument(
      std::string(key) + ": expected the shape of logprobs, " +
      shape(logprobs.shape(0), logprobs.shape(1)) + ", got " +
      shape(table.rows, table.columns));
}

std::optional<mx::array> mask_like(
    const TrlRequest& request, const char* key, const mx::array& logprobs) {
  auto mask = like(request, key, logprobs);
  if (!mask) return mask;
  for (float value : host_values(*mask)) {
    if (value != 0 && value != 1) reject_field(key, "0 and 1 only", value);
  }
  return mask;
}

mx::array mask_of(const TrlRequest& request, const mx::array& logprobs) {
  request.at("mask");
  auto mask = *mask_like(request, "mask", logprobs);
  auto tool_mask = mask_like(request, "tool_mask", logprobs);
  return tool_mask ? mask * *tool_mask : mask;
}

mx::array advantages_like(const TrlRequest& request, int rows) {
  auto values = request.list("advantages");
  if (values.size() != static_cast<size_t>(rows)) {
    throw std::invalid_argument(
        "advantages: expected one for each of " + std::to_string(rows) +
        " rows of logprobs, got " + std::to_string(values.size()));
  }
  return mx::array(values.data(), {rows}, mx::float32);
}

void expect_input(
    const TrlRequest& request, bool needed, const char* setting, const char* key) {
  if (!needed || request.has(key)) return;
  throw std::invalid_argument(
      std::string(key) + ": is missing, and " + setting + " needs it");
}

// Old policy over sampler, where a sampler's numbers are given and to be used.
std::optional<mx::array> importance_of(
    const TrlRequest& request, const PolicyLossInputs& in) {
  auto correction = sampler_correction_of(request);
  if (!in.sampler_logprobs || !correction) return std::nullopt;
  return sampler_importance(
      in.old_logprobs, *in.sampler_logprobs, in.mask, *correction);
}

PolicyLossInputs inputs_of(const TrlRequest& request, const PolicyLossConfig& config) {
  expect_input(request, config.beta != 0, "beta", "ref_logprobs");
  expect_input(
      request, config.top_entropy_quantile < 1, "top_entropy_quantile", "entropies");
  expect_input(
      request, entropy_control_of(request).enabled(), "the entropy bonus", "entropies");
  auto logprobs = to_array(request.table("logprobs"));
  PolicyLossInputs in{
      logprobs,
      like(request, "old_logprobs", logprobs).value_or(logprobs),
      like(request, "ref_logprobs", logprobs),
      advantages_like(request, logprobs.shape(0)),
      mask_of(request, logprobs),
      like(request, "entropies", logprobs),
      like(request, "sampling_logprobs", logprobs)};
  in.importance = importance_of(request, in);
  in.selected = selected_tokens(request, in, config);
  return in;
}

struct LossAndGradient {
  PolicyLoss loss;
  mx::array gradient;  // [B, T]
};

// As the learner differentiates it, with the log-probabilities as the parameters.
LossAndGradient differentiate(
    const PolicyLossInputs& in,
    const PolicyLossConfig& config,
    const StepTotals& totals) {
  std::function<std::vector<mx::array>(const std::vector<mx::array>&)> fn =
      [&](const std::vector<mx::array>& params) {
        auto moving = in;
        moving.logprobs = params[0];
        return std::vector<mx::array>{policy_loss(moving, config, totals).loss};
      };
  auto [value, gradient] = mx::value_and_grad(fn)({in.logprobs});
  auto held = policy_loss(in, config, totals);
  return {{value[0], held.ratio, held.kl, held.phi}, gradient[0]};
}

Json number_or_null(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

void add_entropy_metrics(
    Json& metrics,
    const TrlRequest& request,
    const PolicyLossInputs& in,
    PolicyLossConfig config,
    const StepTotals& totals) {
  auto control = entropy_control_of(request);
  if (!control.enabled()) return;
  config.entropy_coef = 0;
  double loss = policy_loss(in, config, totals).loss.item<float>();
  metrics["policy_loss"] = loss * policy_loss_scale(request);
  control.update(kept_entropy(in, totals));
  metrics["entropy_coef"] = control.coef;
}

Json metrics_of(
    const TrlRequest& request,
    const PolicyLossInputs& in,
    const PolicyLoss& loss,
    const PolicyLossConfig& config,
    const StepTotals& totals) {
  Json metrics = Json::object();
  auto unknown = mx::full(in.mask.shape(), NAN, mx::float32);
  auto entropies = in.entropies.value_or(mx::zeros_like(in.mask));
  auto sums = measure(in, loss, config, entropies, unknown);
  add_entropy_metrics(metrics, request, in, config, totals);
  if (loss.kl) metrics["kl"] = sums.per_token(sums.kl);
  if (in.entropies) metrics["entropy"] = sums.per_token(sums.entropy);
  for (const auto& [name, value] : clip_metrics(sums, config)) {
    metrics[name] = number_or_null(value);
  }
  return metrics;
}

Json rows_of(const mx::array& table) {
  auto values = host_values(table);
  auto width = static_cast<size_t>(table.shape(1));
  Json rows = Json::array();
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % width == 0) rows.push_back(Json::array());
    rows.back().push_back(values[i]);
  }
  return rows;
}

}  // namespace

Json answer_loss(const std::string& line) {
  TrlRequest request(
      line,
      {"logprobs",
       "old_logprobs",
       "ref_logprobs",
       "entropies",
       "sampling_logprobs",
       "advantages",
       "mask",
       "tool_mask",
       "num_items_in_batch",
       "cov_share",
       "clip_cov_low",
       "clip_cov_high",
       "kl_cov_coef"});
  auto config = policy_loss_config_of(request);
  auto in = inputs_of(request, config);
  auto totals = microbatch_totals_of(request, in, config);
  auto [loss, gradient] = differentiate(in, config, totals);
  double value = loss.loss.item<float>();
  bool finite = std::isfinite(value) && mx::all(mx::isfinite(gradient)).item<bool>();
  if (!finite) {
    throw std::invalid_argument(
        "logprobs: the loss or its gradient is not finite; are they too far from "
        "old_logprobs or ref_logprobs?");
  }
  Json answer;
  answer["loss"] = value;
  answer["grad_logprobs"] = rows_of(gradient);
  answer["metrics"] = metrics_of(request, in, loss, config, totals);
  return answer;
}

}  // namespace pupil
