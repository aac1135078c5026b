// Nothing is promoted by accident: of which type everything is that the backward pass
// reads of the forward pass, from the graph itself.

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "mlx/primitives.h"
#include "models/lora.h"
#include "support/tiny_model.h"
#include "train/groups.h"
#include "train/learner.h"

namespace pupil::testing {
namespace {

using Arrays = std::vector<mx::array>;

// What the arrays are computed from, themselves and sister outputs included.
std::map<std::uintptr_t, mx::array> ancestors(Arrays open) {
  std::map<std::uintptr_t, mx::array> found;
  while (!open.empty()) {
    auto a = open.back();
    open.pop_back();
    if (!found.emplace(a.id(), a).second) continue;
    for (const auto& in : a.inputs()) open.push_back(in);
    for (const auto& sister : a.siblings()) open.push_back(sister);
  }
  return found;
}

std::string name_of(const mx::array& a) {
  return a.has_primitive() ? a.primitive().name() : "none";
}

// What takes memory of it: a broadcast is a view.
mx::array without_broadcast(mx::array a) {
  while (name_of(a) == "Broadcast") a = a.inputs()[0];
  return a;
}

// Whether it is a trained array, or one in another order, and no activation.
bool is_of(const mx::array& a, const std::set<std::uintptr_t>& trained) {
  for (const auto& [id, source] : ancestors({a})) {
    if (source.inputs().empty() && !trained.contains(id)) return false;
  }
  return true;
}

// Results of the forward pass that an operation of the backward pass takes. Weights,
// which nothing computes, are not among them, nor are the trained arrays.
Arrays kept_for_backward(
    const mx::array& loss,
    const Arrays& gradients,
    const std::set<std::uintptr_t>& trained = {}) {
  auto forward = ancestors({loss});
  std::map<std::uintptr_t, mx::array> kept;
  for (const auto& [id, a] : ancestors(gradients)) {
    if (forward.contains(id)) continue;
    for (const auto& in : a.inputs()) {
      auto held = without_broadcast(in);
      bool is_result = held.has_primitive() && forward.contains(held.id());
      if (is_result && !is_of(held, trained)) kept.emplace(held.id(), held);
    }
  }
  Arrays arrays;
  for (const auto& [id, a] : kept) arrays.push_back(a);
  return arrays;
}

std::string text_of(const mx::array& a) {
  std::ostringstream text;
  text << name_of(a) << ' ' << a.dtype() << ' ' << a.shape();
  return text.str();
}

struct Pass {
  mx::array loss;
  Arrays gradients;
  std::set<std::uintptr_t> trained;  // ids of these arrays in the graph
};

// Forward and backward of a microbatch, computed by nobody yet.
Pass pass_of(const Decoder& model, const Microbatch& batch, const StepTotals& totals) {
  auto params = trained_arrays(model);
  std::set<std::uintptr_t> trained;
  for (const auto& param : params) trained.insert(param.id());
  auto loss_of = [&](const Arrays& moving) {
    Decoder copy = model;
    assign_trained(copy, moving);
    set_dropout_keys(copy, {7});
    auto [logprobs, entropy] = completion_logprobs(copy, batch, 0.7f);
    PolicyLossInputs in{
        logprobs,
        mx::stop_gradient(logprobs),
        batch.sampler_logprobs,
        batch.advantages,
        batch.mask,
        entropy};
    return Arrays{policy_loss(in, {.beta = 0.1}, totals).loss};
  };
  std::vector<int> all(params.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
  std::function<Arrays(const Arrays&)> fn = loss_of;
  auto [value, gradients] = mx::value_and_grad(fn, all)(params);
  return {value[0], gradients, trained};
}

class ActivationTypes : public ::testing::TestWithParam<std::pair<mx::Dtype, bool>> {
 protected:
  ActivationTypes() {
    std::mt19937 random(5);
    std::vector<RolloutGroup> groups = {random_group(random, 3)};
    set_advantages(groups, ScaleRewards::group);
    batch_ = pack(groups, {}).at(0);
    totals_ = totals_of(groups, {});
    attach_lora(model_, {.rank = 4, .scale = 2.0f}, 1);
  }

  // Float32 on purpose: one number of each token, and the turn of each position.
  bool is_meant(const mx::array& a) const {
    auto rows = batch_->prompt.shape(0) + batch_->positions.shape(0);
    int most = std::max<int>(rows, static_cast<int>(batch_->mask.size()));
    bool per_token = static_cast<int>(a.size()) <= most;
    bool turn = a.ndim() >= 2 && a.shape(-1) == model_.config.head_dim / 2 &&
                static_cast<int>(a.size()) <= rows * model_.config.head_dim / 2;
    return per_token || turn;
  }

  void expect_types() const {
    auto pass = pass_of(model_, *batch_, totals_);
    auto kept = kept_for_backward(pass.loss, pass.gradients, pass.trained);
    int of_model = 0;
    for (const auto& a : kept) {
      of_model += a.dtype() == GetParam().first;
      if (!mx::issubdtype(a.dtype(), mx::floating) || a.dtype() == GetParam().first)
        continue;
      EXPECT_EQ(a.dtype(), mx::float32) << text_of(a);
      EXPECT_TRUE(is_meant(a)) << text_of(a);
    }
    EXPECT_GE(of_model, 8 * model_.config.num_layers);
  }

  Decoder model_ = tiny_decoder_of(GetParam().first, GetParam().second);
  std::optional<Microbatch> batch_;
  StepTotals totals_;
};

TEST_P(ActivationTypes, AreTheModels) {
  expect_types();
}

// Adapters of which no kernel is fused, as on a GPU.
TEST_P(ActivationTypes, AreTheModelsWithDropout) {
  attach_lora(model_, {.rank = 4, .scale = 2.0f, .dropout = 0.2}, 1);
  expect_types();
}

TEST_P(ActivationTypes, AdaptersMomentsAndLossAreFloat32) {
  Learner learner(model_, {});
  auto pass = pass_of(model_, *batch_, totals_);
  EXPECT_EQ(pass.loss.dtype(), mx::float32);
  for (const auto& gradient : pass.gradients) EXPECT_EQ(gradient.dtype(), mx::float32);
  learner.forward_backward(*batch_, totals_);
  learner.optim_step(1e-3);
  for (const auto& param : learner.params()) EXPECT_EQ(param.dtype(), mx::float32);
  for (const auto& [kind, arrays] : learner.state())
    for (const auto& array : arrays) EXPECT_EQ(array.dtype(), mx::float32) << kind;
  auto logprobs = completion_logprobs(model_, *batch_, 1.0f);
  EXPECT_EQ(logprobs.logprobs.dtype(), mx::float32);
  EXPECT_EQ(logprobs.entropy.dtype(), mx::float32);
}

INSTANTIATE_TEST_SUITE_P(
    Models,
    ActivationTypes,
    ::testing::Values(
        std::pair(mx::bfloat16, false),
        std::pair(mx::float16, false),
        std::pair(mx::bfloat16, true),
        std::pair(mx::float16, true)));

// That the walk would see it: a float literal in C++ is float32.
TEST(ActivationTypesWalk, SeesAPromotion) {
  auto run = [](bool promotes) {
    auto loss_of = [=](const Arrays& params) {
      auto x = mx::exp(params[0]);
      auto y = promotes ? x * mx::array(2.0f) : x + x;
      return Arrays{mx::sum(mx::square(y))};
    };
    std::function<Arrays(const Arrays&)> fn = loss_of;
    auto [value, gradients] = mx::value_and_grad(fn)({mx::ones({3}, mx::bfloat16)});
    std::set<std::string> types;
    for (const auto& a : kept_for_backward(value[0], gradients))
      types.insert(a.dtype() == mx::float32 ? "float32" : "bfloat16");
    return types;
  };
  EXPECT_EQ(run(false), (std::set<std::string>{"bfloat16"}));
  EXPECT_TRUE(run(true).contains("float32"));
}

}  // namespace
}  // namespace pupil::testing
