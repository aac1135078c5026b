#include <algorithm>
#include <cmath>
#include <filesystem>

#include "app/assemble.h"
#include "app/trl_request.h"
#include "app/trl_settings.h"
#include "app/worker_ops.h"
#include "base/file.h"
#include "base/json.h"
#include "base/stopwatch.h"
#include "models/adapter_files.h"
#include "models/adapters.h"
#include "train/checkpoint.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr size_t kMostPlaces = size_t{1} << 27;

std::string sample_name(size_t index, const char* key) {
  return "samples." + std::to_string(index) + '.' + key;
}

std::vector<int> ids_of(
    const nlohmann::json& sample, size_t index, const DecoderConfig& model) {
  auto name = sample_name(index, "input_ids");
  auto it = sample.find("input_ids");
  if (it == sample.end() || !it->is_array())
    throw std::invalid_argument(name + ": expected a list of token ids");
  std::vector<int> ids;
  for (const auto& id : *it) {
    bool known = id.is_number_integer() && id >= 0 && id < model.vocab_size;
    if (!known) reject_field(name, "ids below " + std::to_string(model.vocab_size), id);
    ids.push_back(id.get<int>());
  }
  if (std::ssize(ids) > model.max_positions)
    reject_field(
        name, "at most " + std::to_string(model.max_positions) + " ids", ids.size());
  return ids;
}

std::vector<float> logprobs_of(
    const nlohmann::json& sample, size_t index, const char* key, size_t count) {
  auto it = sample.find(key);
  if (it == sample.end() || it->is_null()) return {};
  bool numbers = it->is_array() && it->size() == count &&
                 std::ranges::all_of(*it, [](const auto& x) {
                   return x.is_number() && std::abs(x.template get<double>()) < 1e30;
                 });
  if (!numbers)
    reject_field(
        sample_name(index, key),
        std::to_string(count) + " numbers, one for each token behind the prompt",
        it->is_array() ? nlohmann::json(it->size()) : *it);
  return it->get<std::vector<float>>();
}

GivenSample sample_of(
    const nlohmann::json& json, size_t index, const DecoderConfig& model) {
  if (!json.is_object())
    reject_field("samples." + std::to_string(index), "an object", json);
  auto ids = ids_of(json, index, model);
  auto length = json.value("prompt_length", nlohmann::json());
  bool inside = length.is_number_integer() && length >= 1 && length < std::ssize(ids);
  if (!inside)
    reject_field(
        sample_name(index, "prompt_length"),
        "1 to " + std::to_string(std::ssize(ids) - 1),
        length);
  auto advantage = json.value("advantage", nlohmann::json());
  if (!advantage.is_number())
    reject_field(sample_name(index, "advantage"), "a number", advantage);
  auto begin = ids.begin() + length.get<std::ptrdiff_t>();
  auto count = static_cast<size_t>(ids.end() - begin);
  return {
      {ids.begin(), begin},
      {begin, ids.end()},
      advantage.get<double>(),
      logprobs_of(json, index, "old_logprobs", count),
      logprobs_of(json, index, "ref_logprobs", count)};
}

std::vector<GivenSample> samples_of(
    const TrlRequest& request, const DecoderConfig& model) {
  const auto& list = request.at("samples");
  if (!list.is_array() || list.empty())
    reject_field("samples", "a list of samples", list);
  std::vector<GivenSample> samples;
  for (const auto& item : list)
    samples.push_back(sample_of(item, samples.size(), model));
  for (const auto& s : samples) {
    bool alike = s.old_logprobs.empty() == samples[0].old_logprobs.empty() &&
                 s.ref_logprobs.empty() == samples[0].ref_logprobs.empty();
    if (!alike)
      throw std::invalid_argument(
          "samples: expected old_logprobs, and ref_logprobs, in all or in none");
  }
  return samples;
}

// Consecutive samples of one prompt are a group: its prompt is computed once.
std::vector<RolloutGroup> groups_of(const std::vector<GivenSample>& samples) {
  std::vector<RolloutGroup> groups;
  for (const auto& s : samples) {
    if (groups.empty() || groups.back().prompt.tokens != s.prompt)
      groups.push_back({{s.prompt}, {}, {}});
    Rollout rollout;
    rollout.completion.tokens = s.tokens;
    rollout.completion.logprobs = s.old_logprobs;
    rollout.reward = 0;
    rollout.advantage = s.advantage;
    groups.back().rollouts.push_back(std::move(rollout));
  }
  return groups;
}

/// [N, T] of one microbatch from the samples in their order, 0 behind each one's end.
mx::array table_of(
    const std::vector<const GivenSample*>& rows,
    int width,
    std::vector<float> GivenSample::*values) {
  std::vector<float> table(rows.size() * width);
  for (size_t r = 0; r < rows.size(); ++r)
    std::ranges::copy(rows[r]->*values, table.begin() + static_cast<long>(r) * width);
  return mx::array(table.data(), {static_cast<int>(rows.size()), width}, mx::float32);
}

// What the caller knows of the policies is not computed again.
void fill_given(
    Microbatch& batch,
    const std::vector<GivenSample>& samples,
    const std::vector<size_t>& first_of_group) {
  std::vector<const GivenSample*> rows;
  for (size_t row : batch.rows)
    rows.push_back(&samples[first_of_group[batch.group] + row]);
  int width = batch.completions.shape(1);
  if (!rows[0]->old_logprobs.empty())
    batch.old_logprobs = table_of(rows, width, &GivenSample::old_logprobs);
  if (!rows[0]->ref_logprobs.empty())
    batch.ref_logprobs = table_of(rows, width, &GivenSample::ref_logprobs);
}

std::vector<Microbatch> batches_of(
    const std::vector<GivenSample>& samples, const BatchConfig& config) {
  auto groups = groups_of(samples);
  std::vector<size_t> first = {0};
  for (const auto& group : groups)
    first.push_back(first.back() + group.rollouts.size());
  auto batches = pack(groups, config);
  for (auto& batch : batches) fill_given(batch, samples, first);
  return batches;
}

// The divisors, as `pupil loss` has them: the request is a microbatch of TRL's.
StepTotals totals_of(
    const TrlRequest& request,
    const std::vector<GivenSample>& samples,
    const PolicyLossConfig& config) {
  size_t width = 0;
  for (const auto& s : samples) width = std::max(width, s.tokens.size());
  if (samples.size() * width > kMostPlaces)
    throw std::invalid_argument(
        "samples: expected at most " + std::to_string(kMostPlaces) +
        " places, samples times the longest, got " +
        std::to_string(samples.size() * width));
  std::vector<float> mask(samples.size() * width);
  for (size_t r = 0; r < samples.size(); ++r)
    std::fill_n(
        mask.begin() + static_cast<long>(r * width), samples[r].tokens.size(), 1.0f);
  mx::Shape shape = {static_cast<int>(samples.size()), static_cast<int>(width)};
  mx::array table(mask.data(), shape, mx::float32);
  PolicyLossInputs in{table, table, {}, table, table};
  return microbatch_totals_of(request, in, config);
}

Json clip_ratios(const PolicyMetrics& metrics, const PolicyLossConfig& config) {
  Json all = Json::object();
  for (const auto& [name, value] : clip_metrics(metrics, config)) {
    auto short_name = name.substr(name.find('/') + 1);
    all[short_name] = std::isfinite(value) ? Json(value) : Json(nullptr);
  }
  return all;
}

PolicyLossConfig loss_of(const TrlRequest& request) {
  auto config = policy_loss_config_of(request);
  bool chooses = config.top_entropy_quantile < 1 ||
                 config.surrogate == Surrogate::clip_cov ||
                 config.surrogate == Surrogate::kl_cov;
  if (chooses)
    throw std::invalid_argument(
        "top_entropy_quantile, loss_type: a worker does not choose tokens; expected 1, "
        "and neither clip_cov nor kl_cov");
  if (request.flag("use_vllm", false))
    throw std::invalid_argument(
        "use_vllm: a worker does not correct for another sampler; expected false");
  return config;
}

}  // namespace

TrainWorker::TrainWorker(Model& model, const Config& config)
    : model_(model),
      plain_(model.decoder),
      config_(config),
      lora_(
          config.model.adapter_path ? read_adapter_config(*config.model.adapter_path)
                                    : config.lora) {
  const auto& adapter = config.model.adapter_path;
  if (adapter) {
    pupil::load_adapters(model_.decoder, *adapter);
  } else {
    attach_lora(model_.decoder, config.lora, config.seed);
  }
  begin();
}

void TrainWorker::begin() {
  auto config = learner_config(config_);
  config.has_reference = true;  // a request may ask for it
  config.starts_as_reference = false;
  config.preference.reset();  // it says what its loss is
  config.correction.reset();
  config.reuse_samples = false;
  learner_ = std::make_unique<Learner>(model_.decoder, config);
}

WorkerOps TrainWorker::ops() {
  return {
      {"train_step",
       [this](const auto& request, const auto&) { return train_step(request); }},
      {"save_adapters",
       [this](const auto& request, const auto&) { return save_adapters(request); }},
      {"load_adapters",
       [this](const auto& request, const auto&) { return load_adapters(request); }}};
}

// Adds the samples' gradient to what is there; if one is not finite, nothing is left.
StepSums TrainWorker::accumulate(
    const std::vector<GivenSample>& samples, const StepTotals& totals) {
  BatchConfig batching;
  batching.max_tokens = config_.train.max_tokens_per_microbatch;
  batching.all_groups = true;
  StepSums sums;
  try {
    for (auto& batch : batches_of(samples, batching)) {
      auto result = learner_->forward_backward(batch, totals);
      sums.loss += result.loss;
      sums.policy_loss += result.policy_loss;
      sums.metrics += result.metrics;
    }
  } catch (...) {
    learner_->clear_gradient();
    throw;
  }
  return sums;
}

// As an update does with a gradient that overflowed: the next request begins anew.
double TrainWorker::sum_norm() {
  double norm = learner_->gradient_norm();
  if (std::isfinite(norm)) return norm;
  learner_->clear_gradient();
  learner_->lower_loss_scale();
  return norm;
}

Json TrainWorker::train_step(const nlohmann::json& json) {
  Stopwatch watch;
  TrlRequest request(
      json_text(json), {"op", "id", "samples", "update", "num_items_in_batch"});
  auto loss = loss_of(request);
  auto samples = samples_of(request, model_.decoder.config);
  double rate =
      request.number_within("learning_rate", config_.train.learning_rate, 0, 1);
  learner_->set_step(
      loss,
      static_cast<float>(request.number_within("temperature", 1, 1e-3, 100)),
      request.number_within("max_grad_norm", config_.train.max_grad_norm, 0, 1e9));
  auto [sum, policy_loss, metrics] =
      accumulate(samples, totals_of(request, samples, loss));
  bool update = request.flag("update", true);
  double norm = update ? learner_->optim_step(rate) : sum_norm();
  if (!std::isfinite(norm)) throw NotFinite("the gradient is not finite");
  return {
      {"loss", sum},
      {"policy_loss", policy_loss},
      {"kl", metrics.per_token(metrics.kl)},
      {"entropy", metrics.per_token(metrics.entropy)},
      {"grad_norm", norm},
      {"clip_ratio", clip_ratios(metrics, loss)},
      {"tokens", metrics.num_tokens},
      {"updated", update},
      {"seconds", watch.seconds()}};
}

// File by file, each whole or as it was.
Json TrainWorker::save_adapters(const nlohmann::json& request) const {
  fs::path folder = path_of(request);
  fs::create_directories(folder);
  auto base = fs::absolute(model_.path).string();
  write_file_atomically(
      folder / "adapter_config.json", adapter_config_text(lora_, model_.decoder, base));
  write_exported(*learner_, folder / "adapters.safetensors");
  return {{"path", fs::absolute(folder).string()}};
}

// Moments begin anew: they are those of other weights. What does not load leaves all as
// it was.
Json TrainWorker::load_adapters(const nlohmann::json& request) {
  auto path = path_of(request);
  auto decoder = plain_;
  pupil::load_adapters(decoder, path);
  lora_ = read_adapter_config(path);
  model_.decoder = std::move(decoder);
  begin();
  return {{"path", path}};
}

}  // namespace pupil
