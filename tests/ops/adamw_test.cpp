#include "ops/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "ops/cpu/arrays.h"
#include "ops/support.h"

namespace pupil {
namespace {

using ops_test::normal;
using ops_test::same_bits;
using ops_test::with_each_isa;

using Arrays = std::vector<mx::array>;

const AdamWStep kStep{0.3f, 0.1f, 0.999f, 0.001f, 2.5f, 1e-8f, 0.999f, 1e-2f};

// Arrays of all lengths of a vector's end, of several pieces, of none.
Arrays arrays(uint64_t seed, float scale = 1.0f) {
  Arrays list;
  for (const mx::Shape& shape :
       {mx::Shape{1}, {3, 5}, {16, 33}, {0}, {127}, {20000}, {2, 8192}, {16, 577}}) {
    list.push_back(scale * normal(shape, seed++));
  }
  mx::eval(list);
  return list;
}

struct Lists {
  Arrays params = arrays(100), first = arrays(200, 0.1f), second;

  Lists() {
    for (const auto& a : arrays(300, 0.1f)) second.push_back(mx::square(a));
  }
  AdamWState state() { return {params, first, second}; }
};

void expect_same(const Arrays& a, const Arrays& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << i;
}

TEST(AdamWStep, EqualsItsDefinitionWithEachInstructionSet) {
  with_each_isa([] {
    Lists ours, plain;
    for (uint64_t step = 0; step < 3; ++step) {
      adamw_step(ours.state(), arrays(400 + 10 * step), kStep);
      adamw_step_fallback(plain.state(), arrays(400 + 10 * step), kStep);
    }
    expect_same(ours.params, plain.params);
    expect_same(ours.first, plain.first);
    expect_same(ours.second, plain.second);
    EXPECT_FALSE(same_bits(ours.params[1], Lists().params[1]));  // they did move
  });
}

TEST(AdamWStep, HasTheSameBitsForAnyNumberOfThreads) {
  Lists all;
  adamw_step(all.state(), arrays(1), kStep);
  float norm = global_norm(arrays(1));
  for (int threads : {1, 2, 3}) {
    cpu::set_num_threads(threads);
    Lists some;
    adamw_step(some.state(), arrays(1), kStep);
    expect_same(some.params, all.params);
    EXPECT_EQ(global_norm(arrays(1)), norm);
  }
  cpu::set_num_threads(0);
}

TEST(AdamWStep, TakesArraysOfAnyLayoutAndFloat) {
  Lists ours, plain;
  auto take = [](Lists& lists) {
    for (auto* list : {&lists.params, &lists.first, &lists.second}) {
      *list = {mx::transpose(normal({7, 9}, 1)), mx::zeros({5}), normal({4, 6}, 2)};
    }
    lists.second[0] = mx::square(lists.second[0]);
    lists.second[2] = mx::square(lists.second[2]);
    auto half = mx::astype(normal({4, 12}, 4), mx::bfloat16);
    return Arrays{
        mx::transpose(normal({7, 9}, 3)),
        mx::broadcast_to(mx::array(2.0f), {5}),
        mx::slice(half, {0, 1}, {4, 12}, {1, 2})};
  };
  adamw_step(ours.state(), take(ours), kStep);
  adamw_step_fallback(plain.state(), take(plain), kStep);
  expect_same(ours.params, plain.params);
  expect_same(ours.second, plain.second);
}

TEST(AdamWStep, LeavesArraysAloneThatOthersHold) {
  Lists lists;
  auto grads = arrays(1);
  Lists held = lists;  // the same arrays
  adamw_step(lists.state(), grads, kStep);
  expect_same(held.params, Lists().params);
  expect_same(held.first, Lists().first);
  expect_same(held.second, Lists().second);
  expect_same(grads, arrays(1));
}

std::vector<const void*> memory_of(const Arrays& arrays) {
  std::vector<const void*> memory;
  for (const auto& a : arrays) memory.push_back(a.data<float>());
  return memory;
}

TEST(AdamWStep, OverwritesWhatNobodyElseHolds) {
  if (!cpu::on_cpu()) GTEST_SKIP() << "memory is reused on the CPU only";
  Lists lists;
  mx::eval(lists.second);
  auto params = memory_of(lists.params), first = memory_of(lists.first);
  auto second = memory_of(lists.second);
  adamw_step(lists.state(), arrays(1), kStep);
  EXPECT_EQ(memory_of(lists.params), params);
  EXPECT_EQ(memory_of(lists.first), first);
  EXPECT_EQ(memory_of(lists.second), second);

  auto model = lists.params;  // holds the parameters: the gradients' memory is taken
  auto grads = arrays(1);
  auto given = memory_of(grads);
  adamw_step(lists.state(), std::move(grads), kStep);
  EXPECT_EQ(memory_of(lists.params), given);
}

TEST(AdamWStep, RefusesListsThatDoNotMatch) {
  if (!cpu::on_cpu()) GTEST_SKIP() << "checked on the CPU only";
  Lists lists;
  EXPECT_THROW(adamw_step(lists.state(), {}, kStep), std::invalid_argument);
  auto grads = arrays(1);
  grads[1] = mx::zeros({5, 3});
  EXPECT_THROW(adamw_step(lists.state(), grads, kStep), std::invalid_argument);
}

TEST(GlobalNorm, EqualsItsDefinition) {
  std::vector<float> norms;
  with_each_isa([&] { norms.push_back(global_norm(arrays(1))); });
  for (float norm : norms) EXPECT_EQ(norm, norms[0]);
  double squares = 0;
  for (const auto& a : arrays(1))
    for (size_t i = 0; i < a.size(); ++i) squares += std::pow(a.data<float>()[i], 2.0);
  EXPECT_NEAR(norms[0], std::sqrt(squares), 1e-7 * norms[0]);
  EXPECT_NEAR(norms[0], global_norm_fallback(arrays(1)), 1e-5f * norms[0]);
  EXPECT_EQ(global_norm({}), 0.0f);
  EXPECT_EQ(global_norm({mx::array({3.0f}), mx::array({{4.0f}})}), 5.0f);
}

TEST(GlobalNorm, IsNotFiniteIfAnElementIsNot) {
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    for (int at : {0, 31, 32, 8191, 8192, 9000}) {
      std::vector<float> values(9001, 1.0f);
      values[at] = bad;
      auto array = mx::array(values.data(), {9001}, mx::float32);
      EXPECT_FALSE(std::isfinite(global_norm({mx::ones({4}), array}))) << at;
    }
  }
}

}  // namespace
}  // namespace pupil
