#include <gtest/gtest.h>

#include <map>

#include "kernels/kernel_cases.h"

namespace pupil::kernel_cases {
namespace {

using Cases = Outcomes (*)(const cpu::KernelTable&);

void expect_right(Cases cases) {
  for (const auto* table : tables()) {
    auto outcomes = cases(*table);
    EXPECT_FALSE(outcomes.empty());
    for (const auto& o : outcomes)
      EXPECT_LE(o.error(), o.tolerance) << table->name << ": " << o.name;
  }
}

TEST(KernelTable, DenseProductsEqualTheirDefinition) {
  expect_right(dense_cases);
}

TEST(KernelTable, ProductsInWholeNumbersEqualTheirDefinition) {
  expect_right(code_cases);
}

TEST(KernelTable, ConversionsRoundToTheNearest) {
  expect_right(convert_cases);
}

TEST(KernelTable, FunctionsOfRowsEqualTheirDefinition) {
  expect_right(row_cases);
}

TEST(KernelTable, SoftmaxesAndTheirLargestScoresEqualTheirDefinition) {
  expect_right(softmax_cases);
}

TEST(KernelTable, HeadsTurnedAndCodedEqualTheirDefinition) {
  expect_right(head_cases);
}

TEST(KernelTable, RowsOfAPackedTableEqualTheirDefinition) {
  expect_right(unpack_cases);
}

TEST(KernelTable, TheOptimizersStepIsItsFormula) {
  expect_right(optimizer_cases);
}

TEST(KernelTable, AttentionEqualsItsDefinition) {
  expect_right(attention_cases);
}

TEST(KernelTable, CodedKeysAndValuesGiveTheBitsOfTheirNumbers) {
  expect_right(coded_attention_cases);
}

TEST(KernelTable, TablesThatRoundAlikeGiveTheSameBits) {
  std::map<std::string, uint64_t> hashes;
  for (const auto* table : tables())
    for (const auto& o : all_cases(*table)) {
      if (!o.same_bits) continue;
      auto [entry, fresh] = hashes.emplace(rounding(*table) + o.name, o.hash());
      EXPECT_EQ(entry->second, o.hash()) << table->name << ": " << o.name;
    }
}

}  // namespace
}  // namespace pupil::kernel_cases
