#include "ops/activations.h"

#include <gtest/gtest.h>

#include "ops/support.h"

namespace pupil {
namespace {

using ops_test::distance;
using ops_test::normal;
using ops_test::same_bits;
using ops_test::with_each_isa;

using Arrays = std::vector<mx::array>;

constexpr float kTolerance = 2e-6f;  // a few last places of float32

Arrays plain_swiglu(const Arrays& in) {
  return {in[0] * mx::sigmoid(in[0]) * in[1]};
}

Arrays plain_rms_norm(const Arrays& in) {
  const auto& x = in[0];
  return {x * mx::rsqrt(mx::mean(x * x, -1, true) + 1e-5f) * in[1]};
}

Arrays our_swiglu(const Arrays& in) {
  return {swiglu(in[0], in[1])};
}
Arrays our_rms_norm(const Arrays& in) {
  return {rms_norm(in[0], in[1], 1e-5f)};
}

TEST(Swiglu, EqualsItsDefinitionAndItsGradients) {
  with_each_isa([] {
    for (const mx::Shape& shape :
         {mx::Shape{1}, {3, 5}, {2, 7, 129}, {40, 1536}, {0, 4}}) {
      auto gate = 4.0f * normal(shape, 1), up = normal(shape, 2), dy = normal(shape, 3);
      auto ours = mx::vjp(our_swiglu, {gate, up}, {dy});
      auto plain = mx::vjp(plain_swiglu, {gate, up}, {dy});
      EXPECT_LT(distance(ours.first[0], plain.first[0]), kTolerance);
      EXPECT_LT(distance(ours.second[0], plain.second[0]), kTolerance);
      EXPECT_LT(distance(ours.second[1], plain.second[1]), kTolerance);
    }
  });
}

TEST(Swiglu, IsRightAtTheEnds) {
  with_each_isa([] {
    float inf = std::numeric_limits<float>::infinity();
    auto gate = mx::array({-200.0f, -88.0f, 0.0f, 88.0f, 200.0f, inf});
    auto y = swiglu(gate, mx::ones({6}));
    auto expected = mx::array({0.0f, 0.0f, 0.0f, 88.0f, 200.0f, inf});
    for (int i = 0; i < 6; ++i)
      EXPECT_FLOAT_EQ(
          mx::take(y, i).item<float>() + 1.0f,
          mx::take(expected, i).item<float>() + 1.0f);
    auto nan = swiglu(mx::array({std::nanf("")}), mx::ones({1}));
    EXPECT_TRUE(std::isnan(nan.item<float>()));
  });
}

TEST(Swiglu, ExponentialIsWithinAMillionth) {
  with_each_isa([] {
    auto x = mx::linspace(-80.0, 80.0, 20001);
    auto y = swiglu(x, mx::ones({20001}));
    mx::eval(x, y);
    double worst = 0;
    for (int i = 0; i < 20001; ++i) {
      double at = x.data<float>()[i], exact = at / (1.0 + std::exp(-at));
      if (at != 0) worst = std::max(worst, std::abs(y.data<float>()[i] / exact - 1.0));
    }
    EXPECT_LT(worst, 1e-6);
  });
}

TEST(RmsNorm, EqualsItsDefinitionAndItsGradients) {
  with_each_isa([] {
    for (mx::Shape shape : {mx::Shape{1, 1}, {3, 5}, {2, 7, 129}, {40, 576}, {0, 4}}) {
      auto x = 3.0f * normal(shape, 1), dy = normal(shape, 3);
      auto weight = normal({shape.back()}, 2);
      auto ours = mx::vjp(our_rms_norm, {x, weight}, {dy});
      auto plain = mx::vjp(plain_rms_norm, {x, weight}, {dy});
      EXPECT_LT(distance(ours.first[0], plain.first[0]), kTolerance);
      EXPECT_LT(distance(ours.second[0], plain.second[0]), 5e-6f);
      EXPECT_LT(distance(ours.second[1], plain.second[1]), 5e-6f);
    }
  });
}

TEST(Activations, TakeViewsAndHalfTypes) {
  auto both = normal({6, 34}, 1);
  auto gate = mx::slice(both, {0, 0}, {6, 17}), up = mx::slice(both, {0, 17}, {6, 34});
  EXPECT_LT(distance(swiglu(gate, up), plain_swiglu({gate, up})[0]), kTolerance);
  auto turned = mx::transpose(both), weight = normal({6}, 2);
  EXPECT_LT(
      distance(rms_norm(turned, weight, 1e-5f), plain_rms_norm({turned, weight})[0]),
      kTolerance);
  for (auto type : {mx::float16, mx::bfloat16}) {
    auto x = mx::astype(both, type);
    auto y = rms_norm(x, mx::astype(normal({34}, 3), type), 1e-5f);
    EXPECT_EQ(y.dtype(), type);
    auto wide = plain_rms_norm(
        {mx::astype(x, mx::float32),
         mx::astype(mx::astype(normal({34}, 3), type), mx::float32)})[0];
    EXPECT_TRUE(same_bits(y, mx::astype(wide, type)) || distance(y, wide) < 5e-3f);
    EXPECT_EQ(swiglu(x, x).dtype(), type);
    EXPECT_LT(
        distance(
            swiglu(x, x),
            plain_swiglu({mx::astype(x, mx::float32), mx::astype(x, mx::float32)})[0]),
        5e-3f);
  }
}

TEST(Activations, ARowHasTheSameBitsInAnyBatch) {
  with_each_isa([] {
    auto x = normal({64, 577}, 1), weight = normal({577}, 2);
    auto all = rms_norm(x, weight, 1e-5f);
    auto gated = swiglu(x, x);
    for (int row : {0, 7, 63}) {
      auto part = [&](const mx::array& a) {
        return mx::slice(a, {row, 0}, {row + 1, 577});
      };
      EXPECT_TRUE(same_bits(rms_norm(part(x), weight, 1e-5f), part(all)));
      EXPECT_TRUE(same_bits(swiglu(part(x), part(x)), part(gated)));
    }
  });
}

TEST(Activations, NameWhatDoesNotFit) {
  EXPECT_THROW(swiglu(mx::zeros({2, 3}), mx::zeros({3, 2})), std::invalid_argument);
  EXPECT_THROW(
      rms_norm(mx::zeros({2, 3}), mx::zeros({2}), 1e-5f), std::invalid_argument);
}

TEST(Geglu, EqualsItsDefinitionAndItsGradients) {
  auto plain = [](const Arrays& in) {
    auto cube = mx::power(in[0], mx::array(3.0f));
    auto inner = std::sqrt(2.0f / 3.14159265f) * (in[0] + 0.044715f * cube);
    return Arrays{in[0] * mx::sigmoid(2.0f * inner) * in[1]};  // (1 + tanh x) / 2
  };
  auto ours = [](const Arrays& in) { return Arrays{geglu(in[0], in[1])}; };
  auto gate = 3.0f * normal({7, 33}, 1), up = normal({7, 33}, 2),
       dy = normal({7, 33}, 3);
  auto got = mx::vjp(ours, {gate, up}, {dy}),
       expected = mx::vjp(plain, {gate, up}, {dy});
  EXPECT_LT(distance(got.first[0], expected.first[0]), kTolerance);
  for (int i = 0; i < 2; ++i)
    EXPECT_LT(distance(got.second[i], expected.second[i]), kTolerance);
  EXPECT_EQ(
      geglu(mx::astype(gate, mx::bfloat16), mx::astype(up, mx::bfloat16)).dtype(),
      mx::bfloat16);
  EXPECT_THROW(geglu(gate, mx::zeros({7, 32})), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
