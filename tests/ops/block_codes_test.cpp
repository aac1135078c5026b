#include "ops/block_codes.h"

#include <gtest/gtest.h>

namespace pupil {

namespace {

float largest(const mx::array& x) {
  return mx::max(mx::abs(x)).item<float>();
}

// Numbers of one block, from 1e-3 of its largest, 5, to that.
mx::array spread_out(bool both_signs) {
  auto sizes = mx::power(mx::array(10.0f), mx::linspace(-3.0, 0.0, 200)) * 5.0f;
  auto sign = mx::where(
      mx::equal(mx::remainder(mx::arange(200), mx::array(2)), mx::array(0)),
      mx::array(1.0f),
      mx::array(both_signs ? -1.0f : 1.0f));
  return sizes * sign;
}

}  // namespace

TEST(BlockCodes, AreAsNearAsTheySay) {
  auto x = spread_out(true);
  auto back = from_signed_codes(signed_codes(x), x.shape());
  EXPECT_LT(largest(back - x), 0.016f * 5);
  EXPECT_LT(largest((back - x) / x), 0.09f);
  auto y = spread_out(false);
  back = from_unsigned_codes(unsigned_codes(y), y.shape());
  EXPECT_LT(largest(back - y), 0.008f * 5);
  EXPECT_LT(largest((back - y) / y), 0.045f);
}

TEST(BlockCodes, OfCodedNumbersAreTheSame) {
  auto x = mx::random::normal({37, 29}, mx::random::key(4));
  auto packed = signed_codes(x);
  auto again = signed_codes(from_signed_codes(packed, x.shape()));
  EXPECT_TRUE(mx::array_equal(packed.codes, again.codes).item<bool>());
  EXPECT_EQ(packed.codes.size(), 5 * 256u);  // 37 x 29 numbers in blocks
  EXPECT_EQ(packed.codes.dtype(), mx::uint8);
  auto y = mx::square(x);
  packed = unsigned_codes(y);
  again = unsigned_codes(from_unsigned_codes(packed, y.shape()));
  EXPECT_TRUE(mx::array_equal(packed.codes, again.codes).item<bool>());
}

TEST(BlockCodes, ABlockKnowsOnlyItself) {
  auto small = mx::full({256}, mx::array(1e-6f)),
       large = mx::full({256}, mx::array(1e6f));
  auto both = mx::concatenate({small, large});
  auto back = from_signed_codes(signed_codes(both), both.shape());
  EXPECT_TRUE(mx::allclose(back, both, 1e-6).item<bool>());
}

TEST(BlockCodes, OfZerosAreZeroCodes) {
  auto x = mx::zeros({300});
  for (bool is_signed : {true, false}) {
    auto fresh = zero_codes(300, is_signed);
    auto packed = is_signed ? signed_codes(x) : unsigned_codes(x);
    EXPECT_TRUE(mx::array_equal(fresh.codes, packed.codes).item<bool>());
    EXPECT_TRUE(mx::array_equal(fresh.scales, packed.scales).item<bool>());
    auto back = is_signed ? from_signed_codes(packed, {300})
                          : from_unsigned_codes(packed, {300});
    EXPECT_EQ(largest(back), 0.0f);
  }
}

}  // namespace pupil
