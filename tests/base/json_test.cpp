#include "base/json.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "base/json_depth.h"

namespace pupil {
namespace {

std::string nested(size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

std::string refusal(const std::string& text) {
  try {
    parse_json(text, "it");
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(Json, IsNestedAtMost64Deep) {
  EXPECT_EQ(refusal(nested(64)), "");
  EXPECT_EQ(refusal("[" + nested(63) + "," + nested(63) + "]"), "");
  for (size_t depth : {65, 1 << 20})
    EXPECT_EQ(refusal(nested(depth)), "it: nested deeper than 64");
  EXPECT_EQ(refusal(std::string(1 << 20, '{')), "it: nested deeper than 64");
}

TEST(Json, BracketsInTextsAreNoNesting) {
  std::string brackets(1000, '{');
  for (const auto& text :
       {"\"" + brackets + "\"",
        "[\"\\\"" + brackets + "\"]",
        "[\"\\\\\",\"" + brackets + "\"]",
        "{\"" + brackets + "\":1}"})
    EXPECT_EQ(refusal(text), "") << text.substr(0, 9);
  auto behind = "[\"\\\\\"," + nested(64) + "]";
  EXPECT_EQ(refusal(behind), "it: nested deeper than 64");
}

TEST(Json, IsDiscardedWhereItIsNoneOrTooDeep) {
  EXPECT_EQ(json_or_discarded("[1]"), nlohmann::json({1}));
  for (const auto& text : {std::string("[1"), std::string("[1e999]"), nested(65)})
    EXPECT_TRUE(json_or_discarded(text).is_discarded()) << text;
}

}  // namespace
}  // namespace pupil
