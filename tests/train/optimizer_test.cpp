#include "train/optimizer.h"

#include <gtest/gtest.h>
#include <cmath>

#include "base/json.h"
#include "train/train_config.h"

namespace pupil {

namespace {

using Arrays = std::vector<mx::array>;

void flatten(const nlohmann::json& nested, std::vector<float>& flat) {
  if (nested.is_number()) return flat.push_back(nested.get<float>());
  for (const auto& part : nested) flatten(part, flat);
}

mx::array array_of(const nlohmann::json& nested) {
  std::vector<float> flat;
  flatten(nested, flat);
  mx::Shape shape = {static_cast<int>(nested.size())};
  if (nested[0].is_array()) shape.push_back(static_cast<int>(nested[0].size()));
  return mx::array(flat.data(), shape, mx::float32);
}

Arrays arrays_of(const nlohmann::json& list) {
  Arrays arrays;
  for (const auto& nested : list) arrays.push_back(array_of(nested));
  return arrays;
}

nlohmann::json golden(const std::string& name) {
  return read_json_file(PUPIL_SOURCE_DIR "/tests/golden/optimizers/" + name + ".json");
}

OptimizerConfig config_of(const nlohmann::json& file, double weight_decay) {
  TrainConfig train;
  const auto& settings = file.at("settings");
  train.optim = file.at("optim").get<std::string>();
  if (settings.contains("adam_beta2")) train.adam_beta2 = settings["adam_beta2"];
  if (settings.contains("adam_epsilon")) train.adam_epsilon = settings["adam_epsilon"];
  if (settings.contains("momentum")) train.momentum = settings["momentum"];
  train.weight_decay = weight_decay;
  return optimizer_config(train);
}

double largest_difference(const Arrays& a, const Arrays& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i)
    most = std::max<double>(most, mx::max(mx::abs(a[i] - b[i])).item<float>());
  return most;
}

// The largest distance to the reference over the steps it shows.
double error_of(const nlohmann::json& file, const nlohmann::json& one_case) {
  auto inputs = golden("inputs");
  auto params = arrays_of(inputs.at("start"));
  Optimizer optimizer(params, config_of(file, one_case.at("weight_decay")));
  double most = 0;
  for (const auto& grads : inputs.at("grads")) {
    optimizer.update(params, arrays_of(grads), file.at("learning_rate").get<double>());
    auto step = std::to_string(optimizer.step());
    const auto& after = one_case.at("after");
    if (!after.contains(step)) continue;
    most = std::max(most, largest_difference(params, arrays_of(after.at(step))));
  }
  return most;
}

// A matrix that adamw_8bit packs, a small one and a vector.
Arrays some_params() {
  auto key = [](int i) { return mx::random::key(i); };
  return {
      mx::random::normal({70, 64}, key(1)),
      mx::random::normal({6, 5}, key(2)),
      mx::random::normal({7}, key(3))};
}

Arrays some_grads(int step) {
  Arrays grads;
  for (const auto& p : some_params()) {
    auto key = mx::random::key(100 * step + static_cast<int>(grads.size()));
    grads.push_back(mx::random::normal(p.shape(), key) * 0.1f);
  }
  return grads;
}

void expect_same_bits(const Arrays& a, const Arrays& b) {
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(mx::array_equal(a[i], b[i]).item<bool>()) << i;
}

constexpr Optim kAll[] = {
    Optim::adamw,
    Optim::adam,
    Optim::sgd,
    Optim::lion,
    Optim::adafactor,
    Optim::muon,
    Optim::adamw_8bit};

}  // namespace

// The reference's name is in each file. Muon's iteration multiplies what rounding did
// to the small singular values by some hundreds.
TEST(Optimizer, EqualsTheReferencesOverTwentySteps) {
  for (const char* name :
       {"adamw", "adam", "sgd", "lion", "adafactor", "adafactor_mlx", "muon"}) {
    auto file = golden(name);
    for (const auto& one_case : file.at("cases")) {
      double error = error_of(file, one_case);
      EXPECT_LT(error, std::string(name) == "muon" ? 1e-5 : 1e-6)
          << name << " against " << file.at("reference") << ", weight decay "
          << one_case.at("weight_decay");
      RecordProperty(name, std::to_string(error));
    }
  }
}

TEST(Optimizer, ResumesToTheBit) {
  for (auto optim : kAll) {
    OptimizerConfig config{.optim = optim, .weight_decay = 0.1};
    auto whole = some_params();
    Optimizer one(whole, config);
    for (int step = 0; step < 6; ++step) one.update(whole, some_grads(step), 1e-2, 0.5);

    auto halves = some_params();
    Optimizer first(halves, config);
    for (int step = 0; step < 3; ++step)
      first.update(halves, some_grads(step), 1e-2, 0.5);
    Optimizer second(halves, config);
    second.restore(first.state(), first.step());
    for (int step = 3; step < 6; ++step)
      second.update(halves, some_grads(step), 1e-2, 0.5);
    expect_same_bits(whole, halves);
    EXPECT_EQ(second.step(), 6) << optim_name(optim);
  }
}

TEST(Optimizer, KeepsWhatItSays) {
  auto bytes = [](Optim optim) {
    Optimizer optimizer({mx::zeros({512, 256})}, {.optim = optim});
    size_t sum = 0;
    for (const auto& [kind, arrays] : optimizer.state()) sum += arrays[0].nbytes();
    return sum;
  };
  constexpr size_t kNumbers = 512 * 256;
  EXPECT_EQ(bytes(Optim::adamw), 8 * kNumbers);
  EXPECT_EQ(bytes(Optim::lion), 4 * kNumbers);
  EXPECT_EQ(bytes(Optim::sgd), 4 * kNumbers);
  EXPECT_EQ(bytes(Optim::adafactor), 4 * (512 + 256 + 1u));
  EXPECT_EQ(bytes(Optim::muon), 4 * (kNumbers + 2));
  EXPECT_EQ(bytes(Optim::adamw_8bit), 2 * (kNumbers + 4 * kNumbers / 256) + 8);
}

TEST(Optimizer, VectorsHaveNoWeightDecay) {
  for (auto optim : kAll) {
    auto params = some_params(), start = some_params();
    Arrays grads;
    for (const auto& p : params) grads.push_back(mx::zeros_like(p));
    Optimizer optimizer(params, {.optim = optim, .weight_decay = 0.1});
    optimizer.update(params, grads, 1e-2);
    EXPECT_TRUE(mx::array_equal(params[2], start[2]).item<bool>()) << optim_name(optim);
    EXPECT_FALSE(mx::array_equal(params[0], start[0]).item<bool>())
        << optim_name(optim);
  }
}

// The codes' error moves the weights by a twentieth of what the steps move them.
TEST(Optimizer, EightBitMomentsGoWhereFloatsGo) {
  auto start = some_params();
  Arrays params[2] = {start, start};
  Optimizer plain(params[0], {}), coded(params[1], {.optim = Optim::adamw_8bit});
  for (int step = 0; step < 100; ++step) {
    for (auto* list : {&params[0], &params[1]}) {
      Arrays grads = some_grads(step);
      for (size_t i = 0; i < grads.size(); ++i)
        grads[i] = grads[i] + (*list)[i];  // towards 0
      (list == &params[0] ? plain : coded).update(*list, std::move(grads), 1e-2);
    }
  }
  auto length = [](const mx::array& x) {
    return std::sqrt(mx::sum(mx::square(x)).item<float>());
  };
  double moved = length(params[0][0] - start[0]);
  double apart = length(params[0][0] - params[1][0]);
  EXPECT_LT(apart, 0.05 * moved) << moved;
  EXPECT_GT(apart, 0);
  expect_same_bits({params[0][1], params[0][2]}, {params[1][1], params[1][2]});
}

TEST(Optimizer, ClipsByTheGlobalNorm) {
  Arrays grads = {mx::array({3.0f, 0.0f}), mx::array({4.0f})};
  EXPECT_FLOAT_EQ(global_norm(grads), 5.0f);
  EXPECT_NEAR(clip_scale(5.0f, 1.0), 0.2, 1e-6);
  EXPECT_EQ(clip_scale(5.0f, 5.5), 1.0);
  EXPECT_EQ(clip_scale(5.0f, 0.0), 1.0);

  for (auto optim : kAll) {
    Arrays scaled;
    for (const auto& g : some_grads(1)) scaled.push_back(g * 0.5f);
    OptimizerConfig config{.optim = optim, .weight_decay = 0.1};
    Arrays params[2] = {some_params(), some_params()};
    Optimizer once(params[0], config), again(params[1], config);
    once.update(params[0], some_grads(1), 1e-2, 0.5);
    again.update(params[1], scaled, 1e-2);
    EXPECT_LT(largest_difference(params[0], params[1]), 1e-7) << optim_name(optim);
  }
}

TEST(Optimizer, RefusesAnotherStateAndMissingGradients) {
  Arrays params = {mx::zeros({2, 3})};
  for (auto optim : kAll) {
    Optimizer optimizer(params, {.optim = optim});
    EXPECT_THROW(optimizer.update(params, {}, 1e-3), std::invalid_argument);
    EXPECT_THROW(optimizer.restore({}, 1), std::invalid_argument);
    Optimizer other({mx::zeros({2, 4})}, {.optim = optim});
    EXPECT_THROW(optimizer.restore(other.state(), 1), std::invalid_argument);
  }
  Optimizer adamw(params, {}), lion(params, {.optim = Optim::lion});
  EXPECT_THROW(adamw.restore(lion.state(), 1), std::invalid_argument);
  EXPECT_THROW(lion.restore(adamw.state(), 1), std::invalid_argument);
}

TEST(OptimizerConfig, HasItsAuthorsDefaultsAndRefusesWhatItLacks) {
  TrainConfig train;
  train.optim = "lion";
  EXPECT_EQ(optimizer_config(train).beta2, 0.99);
  train.momentum = 0.5;
  EXPECT_THROW(optimizer_config(train), std::invalid_argument);
  train.optim = "muon";
  EXPECT_EQ(optimizer_config(train).momentum, 0.5);
  train.optim = "adagrad";
  EXPECT_THROW(optimizer_config(train), std::invalid_argument);
}

}  // namespace pupil
