#include "algo/pass_at_k.h"

#include <gtest/gtest.h>

#include <bit>

namespace pupil {

// Over all choices of k of n samples: how many hold one that passes.
TEST(PassAtK, IsTheShareOfChoicesThatHoldAPass) {
  for (unsigned n = 1; n <= 10; ++n) {
    for (unsigned passed = 0; passed <= n; ++passed) {
      for (unsigned k = 1; k <= n; ++k) {
        double good = 0, all = 0;
        for (unsigned choice = 0; choice < 1u << n; ++choice) {
          if (std::popcount(choice) != int(k)) continue;
          all += 1;
          good += (choice & ((1u << passed) - 1)) != 0;
        }
        EXPECT_NEAR(pass_at_k(n, passed, k), good / all, 1e-12)
            << n << " " << passed << " " << k;
      }
    }
  }
}

TEST(PassAtK, OfOneIsTheMean) {
  EXPECT_NEAR(pass_at_k(200, 50, 1), 0.25, 1e-12);
  EXPECT_EQ(pass_at_k(8, 0, 8), 0);
  EXPECT_EQ(pass_at_k(8, 1, 8), 1);
}

}  // namespace pupil
