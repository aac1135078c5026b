// Conversions, and functions of rows.

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/kernel_cases.h"
#include "kernels/numbers.h"

namespace pupil::kernel_cases {
namespace {

using cpu::Format;

double widened(uint16_t bits, Format format) {
  return format == Format::f16 ? float16(bits) : bfloat16(bits);
}

// `count` patterns from `first` on.
Outcome widen(
    const cpu::KernelTable& table, Format format, uint16_t first, int64_t count) {
  Outcome o;
  o.name = std::string("widen/") + format_name(format) + "/" + std::to_string(count);
  std::vector<uint16_t> from(count);
  for (int64_t i = 0; i < count; ++i) {
    from[i] = static_cast<uint16_t>(first + i);
    o.expected.push_back(widened(from[i], format));
  }
  o.scale.assign(count, 1);
  o.found.resize(count);
  table.widen(from.data(), format, o.found.data(), count);
  return o;
}

double narrowed(float x, Format format) {
  if (format == Format::f16) return nearest(x, 10, -14, 65504);
  return nearest_bfloat16(x);
}

// Values of every size, ties among them.
std::vector<float> values_to_narrow(int64_t count) {
  Numbers numbers(count);
  std::vector<float> all(count);
  for (int64_t i = 0; i < count; ++i) {
    int exponent = static_cast<int>(numbers.bits() % (i % 2 ? 260 : 50)) - 130;
    float value = std::ldexp(numbers.value(), i % 2 ? exponent : exponent + 110);
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (i % 3 == 0)
      bits = (bits & 0xffffe000u) | 0x1000;  // half of float16's last place
    if (i % 7 == 0) bits = (bits & 0xffff0000u) | 0x8000;  // and of bfloat16's
    std::memcpy(&all[i], &bits, sizeof bits);
  }
  constexpr float kSpecial[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 65519.9f, 65520};
  for (size_t i = 0; i < std::size(kSpecial) && count > 100; ++i)
    all[i * 9] = kSpecial[i];
  return all;
}

Outcome narrow(const cpu::KernelTable& table, Format format, int64_t count) {
  Outcome o;
  o.name = std::string("narrow/") + format_name(format) + "/" + std::to_string(count);
  auto from = values_to_narrow(count);
  std::vector<uint16_t> to(count);
  table.narrow(from.data(), format, to.data(), count);
  for (int64_t i = 0; i < count; ++i) {
    o.found.push_back(static_cast<float>(widened(to[i], format)));
    o.expected.push_back(narrowed(from[i], format));
  }
  o.scale.assign(count, 1);
  return o;
}

Outcome copy(const cpu::KernelTable& table, bool wide, int64_t count) {
  Outcome o;
  o.name = std::string(wide ? "widen" : "narrow") + "/f32/" + std::to_string(count);
  auto from = Numbers(count).values(count);
  o.found.resize(count);
  o.expected.assign(from.begin(), from.end());
  o.scale.assign(count, 1);
  if (wide)
    table.widen(from.data(), Format::f32, o.found.data(), count);
  else
    table.narrow(from.data(), Format::f32, o.found.data(), count);
  return o;
}

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

constexpr double kSmallest = 1e-28;  // below it e^x stays where it is

// From -60 to 60, and values that are none.
std::vector<float> gates(Numbers& numbers, int64_t n) {
  auto gate = numbers.values(n);
  for (int64_t i = 0; i < n; i += 2) gate[i] *= 30;
  if (n > 20) gate[9] = INFINITY, gate[12] = NAN, gate[17] = 200, gate[18] = -200;
  return gate;
}

Outcome swiglu(const cpu::KernelTable& table, int64_t n) {
  Numbers numbers(n);
  auto gate = gates(numbers, n), up = numbers.values(n);
  Outcome o{"swiglu/" + std::to_string(n), {}, {}, {}, 1e-6};
  o.found.resize(n);
  table.swiglu(gate.data(), up.data(), o.found.data(), n);
  for (int64_t i = 0; i < n; ++i) {
    o.expected.push_back(gate[i] * sigmoid(gate[i]) * up[i]);
    o.scale.push_back(std::abs(o.expected.back()) + kSmallest);
  }
  return o;
}

Outcome swiglu_vjp(const cpu::KernelTable& table, int64_t n) {
  Numbers numbers(n);
  auto gate = gates(numbers, n), up = numbers.values(n), dy = numbers.values(n);
  if (n > 20) gate[9] = 50;  // infinity times 0 is no slope
  Outcome o{"swiglu_vjp/" + std::to_string(n), {}, {}, {}, 2e-6};
  o.found.resize(2 * n);
  float* dgate = o.found.data();
  table.swiglu_vjp(gate.data(), up.data(), dy.data(), dgate, dgate + n, n);
  o.expected.resize(2 * n);
  o.scale.resize(2 * n);
  for (int64_t i = 0; i < n; ++i) {
    double g = gate[i], s = sigmoid(g), both = static_cast<double>(dy[i]) * up[i];
    o.expected[i] = both * s * (1 + g * (1 - s));
    o.scale[i] = std::abs(both) * s * (1 + std::abs(g) * (1 - s)) + kSmallest;
    o.expected[n + i] = dy[i] * g * s;
    o.scale[n + i] = std::abs(o.expected[n + i]) + kSmallest;
  }
  return o;
}

constexpr double kEps = 1e-5f;

double inverse_rms(const float* x, int64_t width) {
  double squares = 0;
  for (int64_t i = 0; i < width; ++i) squares += static_cast<double>(x[i]) * x[i];
  return 1 / std::sqrt(squares / static_cast<double>(width) + kEps);
}

// Sums run lane by lane: their bits are an instruction set's own.
Outcome rms_norm(const cpu::KernelTable& table, int64_t rows, int64_t width) {
  Numbers numbers(width);
  auto x = numbers.values(rows * width), weight = numbers.values(width);
  Outcome o{"rms_norm/" + std::to_string(width), {}, {}, {}, 1e-6, false};
  o.found.resize(rows * width);
  table.rms_norm(x.data(), weight.data(), 1e-5f, o.found.data(), rows, width);
  for (int64_t i = 0; i < rows * width; ++i) {
    double r = inverse_rms(&x[i / width * width], width);
    o.expected.push_back(x[i] * r * weight[i % width]);
    o.scale.push_back(std::abs(o.expected.back()) + 1e-30);
  }
  return o;
}

Outcome rms_norm_vjp(const cpu::KernelTable& table, int64_t rows, int64_t width) {
  Numbers numbers(width);
  auto x = numbers.values(rows * width), weight = numbers.values(width);
  auto dy = numbers.values(rows * width);
  Outcome o{"rms_norm_vjp/" + std::to_string(width), {}, {}, {}, 2e-6, false};
  o.found.resize(rows * width);
  table.rms_norm_vjp(
      x.data(), weight.data(), dy.data(), 1e-5f, o.found.data(), rows, width);
  for (int64_t first = 0; first < rows * width; first += width) {
    double r = inverse_rms(&x[first], width), mean = 0, magnitude = 0;
    for (int64_t i = 0; i < width; ++i) {
      double part = static_cast<double>(dy[first + i]) * weight[i] * x[first + i];
      mean += part / static_cast<double>(width);
      magnitude += std::abs(part) / static_cast<double>(width);
    }
    for (int64_t i = 0; i < width; ++i) {
      double v = static_cast<double>(dy[first + i]) * weight[i], at = x[first + i];
      o.expected.push_back(r * (v - at * r * r * mean));
      o.scale.push_back(r * (std::abs(v) + std::abs(at) * r * r * magnitude) + 1e-30);
    }
  }
  return o;
}

constexpr int64_t kSizes[] = {1, 3, 4, 7, 16, 19, 64, 579};

}  // namespace

Outcomes convert_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (auto format : {Format::f16, Format::bf16}) {
    all.push_back(widen(table, format, 0, 65536));
    all.push_back(narrow(table, format, 100000));
    for (int64_t n : kSizes) {
      all.push_back(widen(table, format, 0x3bf0, n));
      all.push_back(narrow(table, format, n));
    }
  }
  for (bool wide : {false, true})
    for (int64_t n : kSizes) all.push_back(copy(table, wide, n));
  return all;
}

Outcomes row_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (int64_t n : kSizes) {
    all.push_back(swiglu(table, n));
    all.push_back(swiglu_vjp(table, n));
    all.push_back(rms_norm(table, 3, n));
    all.push_back(rms_norm_vjp(table, 3, n));
  }
  return all;
}

}  // namespace pupil::kernel_cases
