#include "ops/row_softmax.h"

#include <bit>
#include <cmath>
#include <cstdint>

#include "ops/all_isas.h"

namespace pupil {

namespace {

constexpr int kLanes = 16;
constexpr float kLowest = -87.0f;  // exp of it is still a normal float32

// exp(x) for x in [kLowest, 0] within 2 ulp; NaN stays NaN. Cody and Waite's reduction
// with the Cephes polynomial.
[[gnu::always_inline]] inline float exp_of(float x) {
  float n = x * 1.44269504088896341f;
  n = (n + 12582912.0f) - 12582912.0f;  // round to the nearest integer
  float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // 2^n by its exponent bits; the clamp keeps a NaN's conversion defined.
  float bounded = n > -127.0f ? n : -127.0f;
  auto exponent = static_cast<int32_t>(bounded) + 127;
  return p * std::bit_cast<float>(exponent << 23);
}

// Distance below the maximum, kept where exp is a normal number. NaN stays NaN.
[[gnu::always_inline]] inline float gap_of(float x, float max) {
  float gap = x - max;
  return gap < kLowest ? kLowest : gap;
}

// exp(gap), and nothing where that would not be a normal number.
[[gnu::always_inline]] inline float mass_of(float gap) {
  float e = exp_of(gap < kLowest ? kLowest : gap);
  return gap < kLowest ? 0.0f : e;
}

}  // namespace

PUPIL_ALL_ISAS RowSums
row_sums(const float* logits, int size, float inverse_temperature) {
  float high[kLanes], sum[kLanes], weighted[kLanes];
  for (int l = 0; l < kLanes; ++l) high[l] = -INFINITY, sum[l] = 0, weighted[l] = 0;
  int whole = size / kLanes * kLanes;
  for (int i = 0; i < whole; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      float x = logits[i + l] * inverse_temperature;
      high[l] = x > high[l] ? x : high[l];
    }
  }
  float max = -INFINITY;
  for (int i = whole; i < size; ++i)
    max = std::fmax(max, logits[i] * inverse_temperature);
  for (int l = 0; l < kLanes; ++l) max = high[l] > max ? high[l] : max;

  for (int i = 0; i < whole; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      float gap = gap_of(logits[i + l] * inverse_temperature, max);
      float e = exp_of(gap);
      sum[l] += e;
      weighted[l] += e * gap;
    }
  }
  for (int i = whole; i < size; ++i) {
    float gap = gap_of(logits[i] * inverse_temperature, max);
    float e = exp_of(gap);
    sum[i - whole] += e;
    weighted[i - whole] += e * gap;
  }
  double total = 0, gaps = 0;
  for (int l = 0; l < kLanes; ++l) total += sum[l], gaps += weighted[l];
  return {max, static_cast<float>(std::log(total)), static_cast<float>(gaps / total)};
}

PUPIL_ALL_ISAS float row_exp_sum(
    const float* logits, int size, float inverse_temperature, float max) {
  float sum[kLanes] = {};
  int whole = size / kLanes * kLanes;
  for (int i = 0; i < whole; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      sum[l] += mass_of(logits[i + l] * inverse_temperature - max);
    }
  }
  for (int i = whole; i < size; ++i) {
    sum[i - whole] += mass_of(logits[i] * inverse_temperature - max);
  }
  float total = 0;
  for (float part : sum) total += part;
  return total;
}

PUPIL_ALL_ISAS void row_negative_softmax(
    const float* logits,
    int size,
    float inverse_temperature,
    const RowSums& sums,
    float* gradient) {
  float scale = -inverse_temperature * std::exp(-sums.log_sum);
  for (int i = 0; i < size; ++i) {
    gradient[i] = scale * exp_of(gap_of(logits[i] * inverse_temperature, sums.max));
  }
}

}  // namespace pupil
