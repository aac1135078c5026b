#include "ops/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>

#include "ops/pack_weight.h"
#include "ops/support.h"

namespace pupil {
namespace {

using ops_test::distance;
using ops_test::kTolerance;
using ops_test::normal;
using ops_test::quantized;
using ops_test::same_bits;
using ops_test::with_each_isa;

// A quantised weight's products round their input to 16 bits of a group's largest, and
// the gradient's weights to 13.
constexpr float kCodedTolerance = 5e-5f;
constexpr float kCodedGradientTolerance = 5e-4f;

mx::array unpacked_floats(const QuantizedWeight& w) {
  if (w.mode != QuantMode::affine) {
    auto dense =
        mx::dequantize(w.packed, w.scales, {}, w.group_size, w.bits, mode_name(w.mode));
    return mx::astype(dense, mx::float32);
  }
  return mx::dequantize(
      w.packed,
      mx::astype(w.scales, mx::float32),
      mx::astype(*w.biases, mx::float32),
      w.group_size,
      w.bits);
}

// What has no kernel of 4 or 8 bits of its own: widened, or left to MLX.
const Quantization kOtherPackings[] = {
    {32, 2},
    {64, 3},
    {128, 5},
    {64, 6},
    {32, 4, QuantMode::mxfp4},
    {32, 8, QuantMode::mxfp8},
    {16, 4, QuantMode::nvfp4}};

// One row after the other through multiply and sum: the definition, without any matmul.
mx::array plain_product(const mx::array& x, const mx::array& weight) {
  auto rows = mx::reshape(mx::astype(x, mx::float32), {-1, 1, x.shape(-1)});
  auto y = mx::sum(rows * mx::expand_dims(mx::astype(weight, mx::float32), 0), -1);
  auto shape = x.shape();
  shape.back() = weight.shape(0);
  return mx::reshape(y, shape);
}

mx::array input_gradient(
    const std::function<mx::array(const mx::array&)>& f,
    const mx::array& x,
    const mx::array& cotangent) {
  auto fun = [&](const std::vector<mx::array>& in) { return std::vector{f(in[0])}; };
  return mx::vjp(fun, {x}, {cotangent}).second[0];
}

TEST(Linear, EqualsItsDefinitionForAnyShapeAndType) {
  with_each_isa([] {
    for (auto [rows, in, out] :
         {std::array{1, 1, 1},
          {2, 7, 5},
          {5, 33, 17},
          {13, 64, 16},
          {50, 100, 70},
          {3, 300, 129},
          {97, 31, 8}}) {
      auto x = normal({rows, in}, 1), w = normal({out, in}, 2);
      for (auto type : {mx::float32, mx::float16, mx::bfloat16}) {
        auto typed = mx::astype(w, type);
        EXPECT_LT(distance(linear(x, typed), plain_product(x, typed)), kTolerance)
            << rows << " x " << in << " x " << out;
      }
    }
  });
}

TEST(Linear, KeepsTheTypeOfItsInput) {
  auto w = normal({24, 40}, 2);
  for (auto type : {mx::float16, mx::bfloat16}) {
    auto x = mx::astype(normal({3, 5, 40}, 1), type);
    auto y = linear(x, w);
    EXPECT_EQ(y.dtype(), type);
    EXPECT_LT(
        distance(y, plain_product(x, w)), 5e-3f);  // half of bfloat16's last place
  }
}

TEST(Linear, TakesViewsAndEmptyInputs) {
  auto w = normal({20, 12}, 2);
  auto columns = mx::transpose(normal({12, 9}, 1));
  EXPECT_LT(distance(linear(columns, w), plain_product(columns, w)), kTolerance);
  auto strided = mx::slice(normal({8, 24}, 3), {0, 0}, {8, 24}, {2, 2});
  EXPECT_LT(distance(linear(strided, w), plain_product(strided, w)), kTolerance);
  auto same = mx::broadcast_to(normal({12}, 4), {6, 12});
  EXPECT_LT(distance(linear(same, w), plain_product(same, w)), kTolerance);
  auto turned = mx::transpose(normal({12, 20}, 5));
  EXPECT_LT(
      distance(linear(columns, turned), plain_product(columns, turned)), kTolerance);
  EXPECT_EQ(linear(mx::zeros({0, 12}), w).shape(), (mx::Shape{0, 20}));
}

TEST(Linear, GradientsEqualThoseOfPlainOperations) {
  with_each_isa([] {
    auto x = normal({3, 11, 37}, 1), w = normal({26, 37}, 2),
         dy = normal({3, 11, 26}, 3);
    auto ours = [](const std::vector<mx::array>& in) {
      return std::vector{linear(in[0], in[1])};
    };
    auto plain = [](const std::vector<mx::array>& in) {
      return std::vector{plain_product(in[0], in[1])};
    };
    auto got = mx::vjp(ours, {x, w}, {dy}).second;
    auto expected = mx::vjp(plain, {x, w}, {dy}).second;
    EXPECT_LT(distance(got[0], expected[0]), kTolerance);
    EXPECT_LT(distance(got[1], expected[1]), kTolerance);
  });
}

TEST(QuantizedLinear, EqualsItsDefinition) {
  with_each_isa([] {
    for (int bits : {4, 8})
      for (int group : {32, 64, 128})
        for (auto scales : {mx::float32, mx::float16, mx::bfloat16})
          for (auto [rows, in, out] :
               {std::array{1, 128, 32}, {3, 384, 45}, {7, 640, 16}, {40, 256, 100}}) {
            auto w = quantized(normal({out, in}, 2), group, bits, scales);
            auto x = normal({rows, in}, 1);
            EXPECT_LT(
                distance(quantized_linear(x, w), plain_product(x, unpacked_floats(w))),
                kCodedTolerance)
                << rows << " x " << in << " x " << out << ", " << bits << " bits";
          }
  });
}

TEST(QuantizedLinear, GradientEqualsThatOfTheUnpackedWeight) {
  with_each_isa([] {
    for (int bits : {4, 8})
      for (auto [rows, in, out] : {std::array{2, 96, 33}, {31, 576, 48}, {5, 32, 7}}) {
        auto w = quantized(normal({out, in}, 2), 32, bits, mx::float16);
        auto x = normal({rows, in}, 1), dy = normal({rows, out}, 3);
        auto got = input_gradient(
            [&](const mx::array& in) { return quantized_linear(in, w); }, x, dy);
        auto expected = plain_product(dy, mx::transpose(unpacked_floats(w)));
        EXPECT_LT(distance(got, expected), kCodedGradientTolerance);
      }
  });
}

TEST(QuantizedLinear, EveryModeEqualsItsUnpackedWeightForwardAndBack) {
  for (const auto& packing : kOtherPackings)
    for (auto [rows, in, out] : {std::array{1, 128, 32}, {9, 384, 45}}) {
      auto w = quantized(normal({out, in}, 2), packing);
      auto x = normal({rows, in}, 1), dy = normal({rows, out}, 3);
      auto apply = [&](const mx::array& in) { return quantized_linear(in, w); };
      EXPECT_LT(
          distance(apply(x), plain_product(x, unpacked_floats(w))), kCodedTolerance)
          << mode_name(packing.mode) << " " << packing.bits;
      auto expected = plain_product(dy, mx::transpose(unpacked_floats(w)));
      EXPECT_LT(
          distance(input_gradient(apply, x, dy), expected), kCodedGradientTolerance)
          << mode_name(packing.mode) << " " << packing.bits;
    }
}

// Every code with most scales, the same in a row: from 2^-120 to 2^112 if powers of
// two.
QuantizedWeight with_every_code(const Quantization& packing) {
  auto w = quantized(normal({256, 256}, 2), packing);
  w.packed = mx::random::bits(w.packed.shape(), 4, mx::random::key(5));
  if (packing.mode == QuantMode::affine) return w;
  auto codes = mx::astype(mx::arange(256), mx::float32);
  if (packing.mode != QuantMode::nvfp4) codes = 7.0f + codes * (232.0f / 256.0f);
  w.scales = mx::astype(
      mx::broadcast_to(mx::reshape(codes, {256, 1}), w.scales.shape()), mx::uint8);
  return w;
}

void expect_the_same_numbers_prepared(const Quantization& packing) {
  auto w = with_every_code(packing);
  auto rows = quantized_rows(prepared(w), mx::arange(256), mx::float32);
  if (packing.mode == QuantMode::affine) {
    EXPECT_LT(distance(rows, unpacked_floats(w)), 1e-6f) << packing.bits;
    return;
  }
  // Codes that are no number stay so.
  for (const auto& found : {rows, mx::astype(unpacked(w), mx::float32)}) {
    auto same = mx::array_equal(found, unpacked_floats(w), /*equal_nan=*/true);
    EXPECT_TRUE(same.item<bool>()) << mode_name(packing.mode);
  }
}

TEST(QuantizedLinear, PreparedCodesAreTheSameNumbers) {
  with_each_isa([] {
    for (const auto& packing : kOtherPackings)
      expect_the_same_numbers_prepared(packing);
  });
}

TEST(QuantizedRows, AreThoseOfTheUnpackedTable) {
  with_each_isa([] {
    auto ids = mx::array({5, 0, 44, 5, 17}, mx::int32);
    for (int bits : {4, 8})
      for (int group : {32, 64, 128})
        for (auto scales : {mx::float32, mx::float16, mx::bfloat16}) {
          auto w = quantized(normal({45, 256}, 2), group, bits, scales);
          auto rows = quantized_rows(prepared(w), ids, mx::float32);
          auto expected = mx::take(unpacked_floats(w), ids, 0);
          EXPECT_LT(distance(rows, expected), 1e-6f) << bits << " bits, " << group;
        }
  });
}

TEST(QuantizedRows, OfIdsOutsideTheTableAreNaN) {
  auto w = prepared(quantized(normal({45, 64}, 2), 32, 4, mx::float16));
  auto rows = quantized_rows(w, mx::array({-1, 44, 45}, mx::int32), mx::float32);
  auto nan = mx::sum(mx::astype(mx::isnan(rows), mx::int32), 1);
  EXPECT_TRUE(mx::array_equal(nan, mx::array({64, 0, 64}, mx::int32)).item<bool>());
}

TEST(PackWeight, InSlicesIsTheSame) {
  auto w = normal({300, 2048}, 4);
  for (const auto& packing : kOtherPackings) {
    auto sliced = pack_weight(w, packing), whole = quantized(w, packing);
    EXPECT_TRUE(same_bits(sliced.packed, whole.packed)) << mode_name(packing.mode);
    EXPECT_TRUE(same_bits(sliced.scales, whole.scales)) << mode_name(packing.mode);
    EXPECT_EQ(sliced.biases.has_value(), packing.mode == QuantMode::affine);
  }
}

TEST(QuantizedLinear, TakesABroadcastCotangent) {
  auto w = quantized(normal({24, 64}, 2), 32, 4, mx::float16);
  auto x = normal({9, 64}, 1);
  auto sum = [&](const mx::array& in) { return mx::sum(quantized_linear(in, w)); };
  auto got = mx::grad(sum)(x);
  auto expected = plain_product(mx::ones({9, 24}), mx::transpose(unpacked_floats(w)));
  EXPECT_LT(distance(got, expected), kCodedGradientTolerance);
}

// The order of addition is one: alone, in a batch, in chunks, on any number of threads.
TEST(QuantizedLinear, ARowHasTheSameBitsInAnyBatch) {
  with_each_isa([] {
    for (int bits : {4, 8}) {
      auto w = quantized(normal({200, 576}, 2), 32, bits, mx::float16);
      auto x = normal({64, 576}, 1);
      auto all = quantized_linear(x, w);
      for (int threads : {1, 3})
        for (int count : {1, 2, 3, 4, 5, 7, 8, 13, 40}) {
          cpu::set_num_threads(threads);
          auto part = quantized_linear(mx::slice(x, {0, 0}, {count, 576}), w);
          EXPECT_TRUE(same_bits(part, mx::slice(all, {0, 0}, {count, 200}))) << count;
        }
      cpu::set_num_threads(0);
    }
  });
}

// Sums of whole numbers are exact: sets with fused multiply-adds differ in no bit.
TEST(QuantizedLinear, HasTheSameBitsWithEachInstructionSet) {
  for (int bits : {4, 8})
    for (int rows : {1, 5, 8, 9, 40}) {
      auto w = quantized(normal({70, 256}, 2), 64, bits, mx::bfloat16);
      auto x = normal({rows, 256}, 1);
      std::optional<mx::array> first;
      with_each_isa([&] {
        if (std::string(cpu::kernels().name) == "generic") return;  // rounds twice
        auto y = quantized_linear(x, w);
        mx::eval(y);
        if (!first) first = y;
        EXPECT_TRUE(same_bits(y, *first)) << rows << " rows, " << bits << " bits";
      });
    }
}

mx::array with_value(const mx::array& x, int row, int column, float value) {
  mx::Shape start{row, column}, stop{row + 1, column + 1};
  return mx::slice_update(x, mx::full({1, 1}, value), start, stop);
}

// The weights of the large input's group are 0: what is left has its own scale.
TEST(QuantizedLinear, ALargeInputCostsOnlyItsGroupDigits) {
  with_each_isa([] {
    auto later = mx::astype(mx::arange(128) >= 32, mx::float32);
    auto w = quantized(normal({48, 128}, 2) * later, 32, 4, mx::float16);
    for (int rows : {1, 20}) {
      auto small = normal({rows, 128}, 1) * 1e-3f;
      auto x = with_value(small, 0, 5, 1e4f);
      auto expected = plain_product(small, unpacked_floats(w)) * 1e3f;
      EXPECT_LT(distance(quantized_linear(x, w) * 1e3f, expected), kCodedTolerance);
    }
  });
}

bool any_finite(const mx::array& x) {
  return mx::any(mx::isfinite(x)).item<bool>();
}

TEST(QuantizedLinear, ZeroIsZeroAndWhatIsNotFiniteStaysSo) {
  with_each_isa([] {
    auto w = quantized(normal({48, 96}, 2), 32, 4, mx::float16);
    auto apply = [&](const mx::array& in) { return quantized_linear(in, w); };
    for (int rows : {2, 30}) {
      auto none = mx::zeros({rows, 96});
      EXPECT_TRUE(same_bits(apply(none), mx::zeros({rows, 48})));
      for (float bad : {NAN, INFINITY, -INFINITY}) {
        auto y = apply(with_value(normal({rows, 96}, 1), 1, 40, bad));
        EXPECT_TRUE(mx::all(mx::isfinite(mx::take(y, 0, 0))).item<bool>());
        EXPECT_FALSE(any_finite(mx::take(y, 1, 0))) << bad;
        auto dy = with_value(mx::ones({rows, 48}), 1, 7, bad);
        EXPECT_FALSE(any_finite(mx::take(input_gradient(apply, none, dy), 1, 0)));
      }
    }
  });
}

TEST(Linear, ARowHasTheSameBitsInAnyBatch) {
  with_each_isa([] {
    auto x = normal({64, 300}, 1), w = normal({70, 300}, 2);
    auto all = linear(x, w);
    for (int row : {0, 5, 63}) {
      auto one = linear(mx::slice(x, {row, 0}, {row + 1, 300}), w);
      EXPECT_TRUE(same_bits(one, mx::slice(all, {row, 0}, {row + 1, 70})));
    }
  });
}

TEST(QuantizedLinear, NamesWhatDoesNotFit) {
  auto w = quantized(normal({24, 64}, 2), 32, 4, mx::float16);
  EXPECT_THROW(quantized_linear(mx::zeros({2, 32}), w), std::invalid_argument);
  w.scales = mx::zeros({24, 1});
  EXPECT_THROW(quantized_linear(mx::zeros({2, 64}), w), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
