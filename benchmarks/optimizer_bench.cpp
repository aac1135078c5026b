// The optimizer's step over the adapters of the default student: rank 16 on the seven
// linears of each of 30 layers, some 4.9 million parameters in 420 arrays.

#include <memory>

#include "benches.h"
#include "cases.h"
#include "ops/adamw.h"

namespace pupil::bench {
namespace {

constexpr int kLayers = 30, kRank = 16;
constexpr int kShapes[][2] = {
    {kWidth, kWidth},
    {kWidth, 192},
    {kWidth, 192},
    {kWidth, kWidth},
    {kWidth, kInner},
    {kWidth, kInner},
    {kInner, kWidth}};

Arrays adapters() {
  Arrays arrays;
  for (int layer = 0; layer < kLayers; ++layer)
    for (auto [in, out] : kShapes) {
      arrays.push_back(numbers({kRank, in}));
      arrays.push_back(numbers({out, kRank}));
    }
  return arrays;
}

double count(const Arrays& arrays) {
  size_t total = 0;
  for (const auto& a : arrays) total += a.size();
  return static_cast<double>(total);
}

using Step = void (*)(const AdamWState&, Arrays, const AdamWStep&);

// Everybody's gradients, so that each call finds the same.
MakeCall stepping(Step step) {
  return [=](int) {
    struct Lists {
      Arrays params = adapters(), first = adapters(), second, grads = adapters();
    };
    auto lists = std::make_shared<Lists>();
    for (const auto& m : lists->first) {
      lists->second.push_back(mx::square(m));
      lists->second.back().eval();
    }
    return [=] {
      AdamWStep settings{
          .grad_scale = 1,
          .blend1 = 0.1f,
          .beta2 = 0.999f,
          .blend2 = 0.001f,
          .root_scale = 1,
          .eps = 1e-8f,
          .decay = 1,
          .rate = 1e-6f};
      step({lists->params, lists->first, lists->second}, lists->grads, settings);
      return lists->params;
    };
  };
}

}  // namespace

void add_optimizer() {
  double parameters = count(adapters());
  // Reads g, m, v, p; writes m, v, p.
  add_case(
      {.name = "adamw_step/4.9M",
       .work = {.bytes = 28.0 * parameters},
       .ours = stepping(adamw_step),
       .fallback = stepping(adamw_step_fallback)});
  auto norm = [](float (*op)(const Arrays&)) {
    return [=](int) {
      auto grads = std::make_shared<Arrays>(adapters());
      return [=] { return Arrays{mx::array(op(*grads))}; };
    };
  };
  add_case(
      {.name = "global_norm/4.9M",
       .work = {.bytes = 4.0 * parameters},
       .ours = norm(global_norm),
       .fallback = norm(global_norm_fallback)});
}

}  // namespace pupil::bench
