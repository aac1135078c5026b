// The optimizer's arithmetic, operation by operation in float32: every table gives the
// same bits.

#include <cmath>

#include "kernels/kernel_cases.h"
#include "kernels/numbers.h"

namespace pupil::kernel_cases {
namespace {

constexpr cpu::AdamWStep kStep{0.3f, 0.1f, 0.999f, 0.001f, 2.5f, 1e-8f, 0.999f, 1e-2f};

struct Element {
  float param, first, second;
};

Element stepped(Element e, float grad) {
  float g = grad * kStep.grad_scale;
  e.first = e.first + (g - e.first) * kStep.blend1;
  e.second = e.second * kStep.beta2 + (g * g) * kStep.blend2;
  float root = std::sqrt(e.second) * kStep.root_scale + kStep.eps;
  e.param = e.param * kStep.decay - (e.first / root) * kStep.rate;
  return e;
}

// New arrays, or in the place of the old ones.
Outcome adamw(const cpu::KernelTable& table, int64_t n, bool in_place) {
  Numbers numbers(n);
  auto grad = numbers.values(n), param = numbers.values(n), first = numbers.values(n);
  auto second = numbers.values(n);
  for (auto& v : second) v *= v;
  Outcome o{"adamw/" + std::to_string(n) + (in_place ? "/in_place" : ""), {}, {}, {}};
  for (int64_t i = 0; i < n; ++i) {
    auto e = stepped({param[i], first[i], second[i]}, grad[i]);
    for (float value : {e.param, e.first, e.second}) o.expected.push_back(value);
  }
  std::vector<float> new_param(n), new_first(n), new_second(n);
  auto &p = in_place ? param : new_param, &m = in_place ? first : new_first,
       &v = in_place ? second : new_second;
  table.adamw(
      kStep,
      {grad.data(),
       param.data(),
       first.data(),
       second.data(),
       p.data(),
       m.data(),
       v.data()},
      n);
  for (int64_t i = 0; i < n; ++i)
    for (float value : {p[i], m[i], v[i]}) o.found.push_back(value);
  o.scale.assign(3 * n, 1);
  return o;
}

Outcome sum_of_squares(const cpu::KernelTable& table, int64_t n) {
  auto x = Numbers(n).values(n);
  Outcome o{"sum_of_squares/" + std::to_string(n), {}, {0}, {}, 1e-6};
  for (float value : x) o.expected[0] += static_cast<double>(value) * value;
  o.found = {static_cast<float>(table.sum_of_squares(x.data(), n))};
  o.scale = {o.expected[0] + 1e-30};
  return o;
}

}  // namespace

Outcomes optimizer_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (int64_t n : {0, 1, 3, 16, 31, 32, 33, 64, 579, 8192}) {
    for (bool in_place : {false, true}) all.push_back(adamw(table, n, in_place));
    all.push_back(sum_of_squares(table, n));
  }
  return all;
}

}  // namespace pupil::kernel_cases
