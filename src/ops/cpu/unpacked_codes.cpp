#include "ops/cpu/unpacked_codes.h"

#include <array>
#include <cmath>

#include "ops/cpu/thread_pool.h"
#include "ops/cpu/weight_matrix.h"

namespace pupil::cpu {
namespace {

// What each code stands for.
using Values = std::array<float, 256>;

Values e2m1_values() {
  constexpr float kPositive[] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  Values values{};
  for (int i = 0; i < 8; ++i) {
    values[i] = kPositive[i];
    values[i + 8] = -kPositive[i];
  }
  return values;
}

// A sign, 4 bits of exponent with bias 7, 3 of mantissa; all ones are not a number.
Values e4m3_values() {
  Values values{};
  for (int i = 0; i < 128; ++i) {
    int exponent = i >> 3, mantissa = i & 7;
    values[i] = exponent == 0
                    ? std::ldexp(static_cast<float>(mantissa), -9)
                    : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
    values[i + 128] = -values[i];
  }
  values[127] = values[255] = NAN;
  return values;
}

// Powers of two with bias 127.
Values e8m0_values() {
  Values values{};
  for (int i = 0; i < 256; ++i) values[i] = i == 255 ? NAN : std::ldexp(1.0f, i - 127);
  return values;
}

struct Format {
  Values codes, scales;
};

const Format& format_of(QuantMode mode) {
  static const Format mxfp4{e2m1_values(), e8m0_values()};
  static const Format mxfp8{e4m3_values(), e8m0_values()};
  static const Format nvfp4{e2m1_values(), e4m3_values()};
  if (mode == QuantMode::mxfp4) return mxfp4;
  return mode == QuantMode::mxfp8 ? mxfp8 : nvfp4;
}

// Words hold their codes low bits first.
void unpack_group(
    const uint32_t* words,
    int count,
    int bits,
    const Values& codes,
    float scale,
    mx::bfloat16_t* to) {
  uint32_t mask = (1u << bits) - 1;
  for (int i = 0; i < count; ++words)
    for (int shift = 0; shift < 32; shift += bits)
      to[i++] = mx::bfloat16_t(codes[*words >> shift & mask] * scale);
}

// Inputs: packed, scales.
class UnpackedCodes : public CpuPrimitive {
 public:
  UnpackedCodes(mx::Stream stream, const Quantization& packing)
      : CpuPrimitive(stream), packing_(packing) {}

  const char* name() const override { return "UnpackedCodes"; }

  void eval_cpu(
      const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    dispatch(inputs, outputs, [packing = packing_](const auto& in, auto& out) {
      auto [group_size, bits, mode] = packing;
      const auto* words = in[0].template data<uint32_t>();
      const auto* scales = in[1].template data<uint8_t>();
      auto* to = out[0].template data<mx::bfloat16_t>();
      const auto& format = format_of(mode);
      int64_t groups = in[1].shape(1), group_words = group_size * bits / 32;
      parallel_for(in[1].shape(0), [&, size = group_size, bits = bits](int row) {
        for (int64_t group = row * groups; group < (row + 1) * groups; ++group)
          unpack_group(
              words + group * group_words,
              size,
              bits,
              format.codes,
              format.scales[scales[group]],
              to + group * size);
      });
    });
  }

 private:
  Quantization packing_;
};

}  // namespace

mx::array unpacked_codes(const QuantizedWeight& w) {
  int columns = w.scales.shape(1) * w.group_size;
  return mx::array(
      {w.scales.shape(0), columns},
      mx::bfloat16,
      std::make_shared<UnpackedCodes>(
          current_stream(), Quantization{w.group_size, w.bits, w.mode}),
      {in_row_order(w.packed), in_row_order(w.scales)});
}

}  // namespace pupil::cpu
