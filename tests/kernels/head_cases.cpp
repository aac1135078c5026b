// What one token's heads go through on their way into a cache: turned by the token's
// angles, and in 8 bits. Operation by operation in float32: every table gives the same
// bits.

#include <algorithm>
#include <cmath>

#include "kernels/kernel_cases.h"
#include "kernels/numbers.h"

namespace pupil::kernel_cases {
namespace {

std::string named(const char* what, int64_t a, int64_t b) {
  return std::string(what) + "/" + std::to_string(a) + "/" + std::to_string(b);
}

Outcome rope(
    const cpu::KernelTable& table, int64_t heads, int64_t half, float direction) {
  Numbers numbers(half);
  int64_t width = 2 * half;
  auto x = numbers.values(heads * width);
  auto cos = numbers.values(half), sin = numbers.values(half);
  Outcome o{named("rope_heads", static_cast<int64_t>(direction), width), {}, {}, {}};
  for (int64_t i = 0; i < heads * width; ++i) {
    int64_t e = i % width, at = e % half;
    float s = direction * sin[at], low = x[i - e + at], high = x[i - e + at + half];
    float a = low * (e < half ? cos[at] : s), b = high * (e < half ? s : cos[at]);
    o.expected.push_back(e < half ? a - b : a + b);
  }
  o.found = x;  // in place
  float* out = o.found.data();
  table.rope_heads(out, cos.data(), sin.data(), direction, out, heads, width);
  o.scale.assign(heads * width, 1);
  return o;
}

// A group whose largest is 2^exponent times a random number, and what it becomes.
struct Group {
  std::vector<float> x;
  float scale = 0;

  Group(int64_t n, int exponent) : x(Numbers(n).values(n)) {
    float most = 0;
    for (auto& value : x) value = std::ldexp(value, exponent);
    for (float value : x) most = std::max(most, std::abs(value));
    scale = static_cast<float>(nearest_bfloat16(most / 127.0f));
    scale = std::max(scale, 0x1p-100f);
  }

  float code(int64_t i) const {
    return std::clamp(std::nearbyint(x[i] / scale), -127.0f, 127.0f);
  }
};

Outcome rounded_group(const cpu::KernelTable& table, int64_t n, int exponent) {
  Group group(n, exponent);
  Outcome o{named("round_kv_group", n, exponent), {}, {}, {}};
  o.found.resize(n);
  table.round_kv_group(group.x.data(), n, o.found.data());
  for (int64_t i = 0; i < n; ++i) o.expected.push_back(group.code(i) * group.scale);
  o.scale.assign(n, 1);
  return o;
}

// Codes, then the scale.
Outcome coded_group(const cpu::KernelTable& table, int64_t n, int exponent) {
  Group group(n, exponent);
  Outcome o{named("code_kv_group", n, exponent), {}, {}, {}};
  std::vector<int8_t> codes(n);
  float scale = table.code_kv_group(group.x.data(), n, codes.data());
  o.found.assign(codes.begin(), codes.end());
  o.found.push_back(scale);
  for (int64_t i = 0; i < n; ++i) o.expected.push_back(group.code(i));
  o.expected.push_back(group.scale);
  o.scale.assign(n + 1, 1);
  return o;
}

// A number that is not finite makes its group NaN, with codes of 0.
Outcome unfit_group(const cpu::KernelTable& table, float bad) {
  auto x = Numbers(1).values(32);
  x[17] = bad;
  std::vector<int8_t> codes(32);
  Outcome o{"kv_group/unfit/" + std::to_string(bad), {}, {}, {}};
  o.found.resize(32);
  table.round_kv_group(x.data(), 32, o.found.data());
  o.found.push_back(table.code_kv_group(x.data(), 32, codes.data()));
  o.found.push_back(codes[17]);
  o.expected.assign(33, NAN);
  o.expected.push_back(0);
  o.scale.assign(34, 1);
  return o;
}

}  // namespace

Outcomes head_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (int64_t half : {1, 5, 16, 32, 40})
    for (float direction : {1.0f, -1.0f})
      all.push_back(rope(table, 3, half, direction));
  for (int64_t n : {8, 20, 32, 80})
    for (int exponent : {0, 30, -60, -110, -200}) {
      all.push_back(rounded_group(table, n, exponent));
      all.push_back(coded_group(table, n, exponent));
    }
  for (float bad : {NAN, INFINITY, -INFINITY}) all.push_back(unfit_group(table, bad));
  return all;
}

}  // namespace pupil::kernel_cases
