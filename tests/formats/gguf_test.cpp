// GGUF files made in memory: good ones of both versions and every tensor type, and
// hostile ones, each of which is one clear error.

#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "support/files.h"
#include "support/gguf_bytes.h"
#include "support/temp_dir.h"

namespace pupil {
namespace {

using testing::Bytes;
using testing::GgufBytes;
using testing::has;

constexpr uint64_t kHuge = ~uint64_t{0};

class Gguf : public ::testing::Test {
 protected:
  GgufFile open(const GgufBytes& bytes) { return open(bytes.file()); }
  GgufFile open(const std::string& bytes) {
    testing::write_text(path(), bytes);
    return GgufFile(path());
  }
  // Why it is refused; the error names the file.
  std::string error(const GgufBytes& bytes) { return error(bytes.file()); }
  std::string error(const std::string& bytes) {
    auto text = testing::refusal([&] { open(bytes); });
    EXPECT_TRUE(text == "accepted" || text.starts_with("[gguf] " + path() + ": "));
    return text;
  }
  std::string path() const { return folder_.path() / "test.gguf"; }

 private:
  testing::TempDir folder_;
};

GgufBytes one_tensor(GgufType type, uint64_t rows, uint64_t columns, size_t bytes) {
  GgufBytes file;
  file.tensor("t", {rows, columns}, type, std::string(bytes, 'x'));
  return file;
}

TEST_F(Gguf, ReadsNumbersOfEveryWidthInBothVersions) {
  for (uint32_t version : {2u, 3u}) {
    GgufBytes bytes;
    bytes.version = version;
    using B = GgufBytes;
    bytes.pair("u8", B::u8, Bytes().number<uint8_t>(200))
        .pair("i8", B::i8, Bytes().number<int8_t>(-100))
        .pair("u16", B::u16, Bytes().number<uint16_t>(60000))
        .pair("i16", B::i16, Bytes().number<int16_t>(-30000))
        .pair("u32", B::u32, Bytes().number<uint32_t>(4000000000))
        .pair("i32", B::i32, Bytes().number<int32_t>(-5))
        .pair("u64", B::u64, Bytes().number<uint64_t>(INT64_MAX))
        .pair("i64", B::i64, Bytes().number<int64_t>(INT64_MIN))
        .pair("f64", B::f64, Bytes().number<double>(1e300))
        .pair("yes", B::boolean, Bytes().number<uint8_t>(1))
        .set("f32", 0.5f);
    std::map<std::string, GgufValue> expected = {
        {"u8", int64_t{200}},
        {"i8", int64_t{-100}},
        {"u16", int64_t{60000}},
        {"i16", int64_t{-30000}},
        {"u32", int64_t{4000000000}},
        {"i32", int64_t{-5}},
        {"u64", int64_t{INT64_MAX}},
        {"i64", int64_t{INT64_MIN}},
        {"f64", 1e300},
        {"yes", int64_t{1}},
        {"f32", 0.5}};
    EXPECT_TRUE(open(bytes).metadata() == expected);
  }
}

TEST_F(Gguf, ReadsTextsAndLists) {
  using Texts = std::vector<std::string>;
  auto file = open(GgufBytes()
                       .set("text", std::string("é"))
                       .set("texts", Texts{"a", "", "b"})
                       .set("numbers", std::vector<int32_t>{3, -1})
                       .set("none", Texts{}));
  EXPECT_EQ(file.metadata().size(), 4u);
  EXPECT_EQ(file.get<std::string>("text"), "é");
  EXPECT_EQ(file.get<Texts>("texts"), (Texts{"a", "", "b"}));
  EXPECT_EQ(file.get<Texts>("none"), Texts{});
  EXPECT_EQ(file.get<std::vector<int64_t>>("numbers"), (std::vector<int64_t>{3, -1}));
}

TEST_F(Gguf, AKeyOfAnotherTypeOrNoneIsAnErrorThatNamesIt) {
  auto file = open(GgufBytes().set("a", 1u));
  EXPECT_EQ(file.find<int64_t>("b"), nullptr);
  EXPECT_TRUE(has(testing::refusal([&] { file.get<int64_t>("b"); }), "'b' is missing"));
  EXPECT_TRUE(
      has(testing::refusal([&] { file.find<double>("a"); }), "'a' has an unexp"));
}

TEST_F(Gguf, ReadsTensorsOfEveryTypeInTheOrderOfTheirData) {
  struct Row {
    GgufType type;
    const char* name;
    size_t bytes;
  };
  const std::vector<Row> rows = {
      {GgufType::f32, "F32", 2048},
      {GgufType::f16, "F16", 1024},
      {GgufType::bf16, "BF16", 1024},
      {GgufType::q4_0, "Q4_0", 16 * 18},
      {GgufType::q4_1, "Q4_1", 16 * 20},
      {GgufType::q5_0, "Q5_0", 16 * 22},
      {GgufType::q5_1, "Q5_1", 16 * 24},
      {GgufType::q8_0, "Q8_0", 16 * 34},
      {GgufType::q4_k, "Q4_K", 2 * 144},
      {GgufType::q5_k, "Q5_K", 2 * 176},
      {GgufType::q6_k, "Q6_K", 2 * 210}};
  GgufBytes bytes;
  bytes.alignment = 64;
  bytes.set("general.alignment", 64u);
  for (const auto& row : rows) {
    std::string data(row.bytes, row.name[0]);
    data.back() = '!';
    bytes.tensor(row.name, {2, 256}, row.type, data);
  }
  std::swap(bytes.tensors[0], bytes.tensors[5]);  // the list's order does not matter
  auto file = open(bytes);
  ASSERT_EQ(file.tensors().size(), rows.size());
  uint64_t last = 0;
  for (const auto& tensor : file.tensors()) {
    EXPECT_EQ(tensor.shape, (std::vector<int64_t>{2, 256}));
    EXPECT_EQ(tensor.offset % 64, 0u);
    EXPECT_GE(tensor.offset, last);
    last = tensor.offset;
    auto read = file.read(tensor);
    EXPECT_EQ(read.size(), tensor.bytes);
    EXPECT_EQ(static_cast<char>(read.back()), '!');
    EXPECT_EQ(gguf_type_name(tensor.type), tensor.name);
  }
}

TEST_F(Gguf, AFileCutAnywhereIsOneErrorOrWhole) {
  GgufBytes bytes;
  bytes.set("general.architecture", std::string("llama"))
      .set("list", std::vector<std::string>{"a", "b"})
      .set("numbers", std::vector<int32_t>{1, 2, 3})
      .tensor("a", {2, 3}, GgufType::f32, std::string(24, 'a'))
      .tensor("b", {1, 32}, GgufType::q4_0, std::string(18, 'b'));
  auto whole = bytes.file();
  EXPECT_EQ(error(whole), "accepted");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_TRUE(has(error(whole.substr(0, size)), "expected")) << size;
  }
}

TEST_F(Gguf, EveryFlippedByteIsRefusedOrHarmless) {
  GgufBytes bytes;
  bytes.set("k", std::vector<std::string>{"ab", "c"})
      .set("n", 7u)
      .tensor("t", {2, 32}, GgufType::q8_0, std::string(68, 'd'));
  auto whole = bytes.file();
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      auto flipped = whole;
      flipped[at] = static_cast<char>(value);
      testing::write_text(path(), flipped);
      testing::refusal([&] {
        GgufFile file(path());
        for (const auto& tensor : file.tensors()) {
          EXPECT_EQ(file.read(tensor).size(), tensor.bytes);
        }
      });
    }
  }
}

TEST_F(Gguf, RefusesOtherMagicsVersionsAndByteOrders) {
  GgufBytes bytes;
  bytes.magic = "GGML";
  EXPECT_TRUE(has(error(bytes), "magic"));
  for (uint32_t version : {0u, 1u, 4u, 0x03000000u, 0xffffffffu}) {
    bytes = {};
    bytes.version = version;
    EXPECT_NE(error(bytes), "accepted") << version;
  }
  EXPECT_NE(testing::refusal([] { GgufFile file("/nonexistent"); }), "accepted");
  EXPECT_NE(testing::refusal([] { GgufFile file("/"); }), "accepted");
  EXPECT_NE(testing::refusal([] { GgufFile file("/dev/zero"); }), "accepted");
}

TEST_F(Gguf, CountsAndLengthsBeyondTheFileAllocateNothing) {
  for (uint64_t count : {uint64_t{100'001}, uint64_t{1} << 32, kHuge - 1, kHuge}) {
    GgufBytes bytes;
    bytes.num_tensors = count;
    EXPECT_TRUE(has(error(bytes), "number of tensors")) << count;
    bytes = {};
    bytes.num_pairs = count;
    EXPECT_TRUE(has(error(bytes), "number of metadata keys")) << count;
  }
  for (uint64_t length : {uint64_t{9}, uint64_t{1} << 40, kHuge - 7, kHuge}) {
    auto string = Bytes().number(length);
    auto bytes = GgufBytes().pair("s", GgufBytes::string, string);
    EXPECT_TRUE(has(error(bytes), "length of metadata 's'")) << length;
    auto array = Bytes().number<uint32_t>(GgufBytes::u8).number(length);
    bytes = GgufBytes().pair("a", GgufBytes::array, array);
    EXPECT_TRUE(has(error(bytes), length < 1000 ? "truncated" : "too many")) << length;
    bytes = {};
    bytes.pairs = Bytes().number(length).text;  // a key's
    bytes.num_pairs = 1;
    EXPECT_TRUE(has(error(bytes), "length of a metadata key")) << length;
  }
  GgufBytes many;  // each array is allowed, all together are not
  for (int i = 0; i < 3; ++i) {
    auto bytes = Bytes().number<uint32_t>(GgufBytes::u8).number<uint64_t>(3 << 20);
    bytes.text += std::string(3 << 20, '\1');
    many.pair("k" + std::to_string(i), GgufBytes::array, bytes);
  }
  EXPECT_TRUE(has(error(many), "'k2' has too many elements"));
}

TEST_F(Gguf, RefusesValuesThatAreNone) {
  auto pair = [&](uint32_t type, const Bytes& value) {
    return error(GgufBytes().pair("k", static_cast<GgufBytes::Type>(type), value));
  };
  EXPECT_TRUE(has(pair(13, Bytes().number<uint64_t>(0)), "unknown value type 13"));
  EXPECT_TRUE(has(pair(GgufBytes::boolean, Bytes().number<uint8_t>(2)), "got 2"));
  EXPECT_TRUE(has(pair(GgufBytes::u64, Bytes().number(kHuge)), "below 2^63"));
  EXPECT_TRUE(has(pair(GgufBytes::string, Bytes().string("\xff\xfe")), "not UTF-8"));
  auto nested = Bytes().number<uint32_t>(GgufBytes::array).number<uint64_t>(1);
  for (int i = 0; i < 1000; ++i) {
    nested.number<uint32_t>(GgufBytes::array).number<uint64_t>(1);
  }
  EXPECT_TRUE(has(pair(GgufBytes::array, nested), "array of arrays"));
  EXPECT_TRUE(has(error(GgufBytes().set("k", 1u).set("k", 2u)), "duplicate metadata"));
}

TEST_F(Gguf, AnUnknownTensorTypeIsNamedWithItsTensor) {
  for (auto [type, name] : std::vector<std::pair<uint32_t, const char*>>{
           {10, "Q2_K"},
           {15, "Q8_K"},
           {20, "IQ4_NL"},
           {4, "4"},
           {39, "MXFP4"},
           {999, "999"},
           {0xffffffff, "4294967295"}}) {
    auto bytes = one_tensor(GgufType::f32, 1, 32, 128);
    bytes.tensors[0].type = type;
    EXPECT_TRUE(has(error(bytes), "tensor 't' has type " + std::string(name) + ","));
  }
}

TEST_F(Gguf, ShapesThatOverflowOrAreNoBlocksAreRefused) {
  auto shape = [&](std::vector<uint64_t> dims, GgufType type = GgufType::f32) {
    return error(GgufBytes().tensor("t", dims, type, "data"));
  };
  EXPECT_TRUE(has(shape({}), "1 to 4 dimensions, got 0"));
  EXPECT_TRUE(has(shape({1, 1, 1, 1, 1}), "1 to 4 dimensions, got 5"));
  EXPECT_TRUE(has(shape({0, 4}), "got 0"));
  EXPECT_TRUE(has(shape({kHuge}), "2^31 - 1"));
  EXPECT_TRUE(has(shape({(uint64_t{1} << 32) + 1}), "2^31 - 1"));
  EXPECT_TRUE(has(shape({1 << 16, 1 << 16, 1 << 16, 1 << 16}), "too many elements"));
  EXPECT_TRUE(has(shape({1 << 30, 1 << 30}), "too many elements"));
  EXPECT_TRUE(has(shape({1 << 17, 1 << 17, 1 << 14}), "truncated"));  // 2^48, in bounds
  EXPECT_TRUE(has(shape({2, 33}, GgufType::q4_0), "whole blocks of 32, got 33"));
  EXPECT_TRUE(has(shape({32, 1}, GgufType::q8_0), "whole blocks of 32, got 1"));
  EXPECT_TRUE(has(shape({2, 576}, GgufType::q4_k), "whole blocks of 256, got 576"));
  EXPECT_TRUE(has(shape({2, 256}, GgufType::q6_k), "truncated"));
}

TEST_F(Gguf, OffsetsOutsideTheFileOverAnotherOrNotAlignedAreRefused) {
  auto at = [&](uint64_t offset) {
    auto bytes = one_tensor(GgufType::f32, 1, 32, 128);
    bytes.tensors[0].offset = offset;
    return error(bytes);
  };
  EXPECT_EQ(at(0), "accepted");
  EXPECT_TRUE(has(at(1), "not aligned"));
  for (uint64_t offset : {uint64_t{32}, uint64_t{128}, uint64_t{1} << 63, kHuge - 31}) {
    EXPECT_TRUE(has(at(offset), "truncated: tensor 't'")) << offset;
  }
  auto two = one_tensor(GgufType::f32, 1, 32, 128);
  two.tensor("u", {1, 32}, GgufType::f32, std::string(128, 'u'));
  for (uint64_t offset : {0, 32, 96}) {
    two.tensors[1].offset = offset;
    EXPECT_TRUE(has(error(two), "overlaps")) << offset;
  }
  two.tensors[1].offset = 128;
  EXPECT_EQ(error(two), "accepted");
  two.tensors[1].name = "t";
  EXPECT_TRUE(has(error(two), "duplicate tensor 't'"));
}

TEST_F(Gguf, AlignmentIsAPowerOfTwoWithinBounds) {
  for (uint32_t alignment : {0u, 1u, 4u, 24u, 33u, 1u << 17, 0xffffffffu}) {
    EXPECT_TRUE(has(error(GgufBytes().set("general.alignment", alignment)), "power"))
        << alignment;
  }
  EXPECT_TRUE(
      has(error(GgufBytes().set("general.alignment", std::string("x"))), "power"));
  EXPECT_EQ(error(GgufBytes().set("general.alignment", 8u)), "accepted");
}

TEST_F(Gguf, NamesAreShownEscapedOnOneLine) {
  GgufBytes bytes;
  bytes.tensor("a\n\x1b[31m", {1, 33}, GgufType::q4_0, "");
  EXPECT_TRUE(has(error(bytes), "'a\\n\\x1b[31m'"));
  bytes = {};
  bytes.tensor(std::string(2000, 'n'), {1}, GgufType::f32, "data");
  EXPECT_TRUE(has(error(bytes), "length of a tensor's name"));
}

}  // namespace
}  // namespace pupil
