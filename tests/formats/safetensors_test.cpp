// Hand-made bad files: each is one mistake away from a good one.

#include "formats/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace pupil {
namespace {

std::string file_of(const std::string& bytes) {
  static int count = 0;
  auto folder = std::filesystem::path(testing::TempDir()) / "pupil_safetensors";
  std::filesystem::create_directories(folder);
  auto path = folder / (std::to_string(getpid()) + "_" + std::to_string(count++));
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

std::string length_prefix(uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i));
  return bytes;
}

std::string with_header(const std::string& header, size_t data_bytes) {
  return length_prefix(header.size()) + header + std::string(data_bytes, 'x');
}

std::string error_of(const std::string& bytes) {
  auto path = file_of(bytes);
  std::string message = "accepted";
  try {
    read_safetensors_header(path);
  } catch (const std::invalid_argument& error) {
    message = error.what();
    EXPECT_EQ(message.rfind("[safetensors] " + path + ": ", 0), 0u) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  std::filesystem::remove(path);
  return message;
}

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirDataWithMetadata) {
  std::string header =
      R"({"__metadata__":{"format":"mlx"},"b":{"dtype":"U32","shape":[],"data_offsets":[12,16]},)"
      R"("a":{"data_offsets":[0,12],"dtype":"F16","shape":[2,3]},)"
      R"("none":{"dtype":"F32","shape":[0,7],"data_offsets":[12,12]}}   )";
  auto path = file_of(with_header(header, 16));
  auto read = read_safetensors_header(path);
  EXPECT_EQ(read.metadata.at("format"), "mlx");
  EXPECT_EQ(read.data_begin, 8 + header.size());
  ASSERT_EQ(read.tensors.size(), 3u);
  EXPECT_EQ(read.tensors[0].name, "a");
  EXPECT_EQ(read.tensors[0].dtype, "F16");
  EXPECT_EQ(read.tensors[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(read.tensors[1].name, "none");
  EXPECT_EQ(read.tensors[2].begin, 12u);
  EXPECT_EQ(read.tensors[2].end, 16u);
}

TEST(Safetensors, EmptyMetadataMayBeNullAsMlxWritesIt) {
  std::string header =
      R"({"__metadata__":null,"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  auto read = read_safetensors_header(file_of(with_header(header, 8)));
  EXPECT_TRUE(read.metadata.empty());
  EXPECT_EQ(read.tensors.at(0).name, "a");
}

TEST(Safetensors, AnEmptyHeaderIsAFileWithoutTensors) {
  EXPECT_TRUE(read_safetensors_header(file_of(with_header("{}", 0))).tensors.empty());
}

struct Bad {
  const char* name;
  std::string header;
  size_t data_bytes;
  const char* says;  // part of the error
};

std::string tensor(const std::string& shape, const std::string& offsets) {
  return R"({"a":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

std::string two(const std::string& first, const std::string& second) {
  return R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)" + first +
         R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)" + second + "}}";
}

std::string many_tensors(int count) {
  std::string text = "{";
  for (int i = 0; i < count; ++i) {
    text += (i ? ",\"t" : "\"t") + std::to_string(i) +
            R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  return text + "}";
}

class BadSafetensors : public testing::TestWithParam<Bad> {};

TEST_P(BadSafetensors, IsRejectedWithTheReason) {
  const Bad& bad = GetParam();
  auto error = error_of(with_header(bad.header, bad.data_bytes));
  EXPECT_NE(error.find(bad.says), std::string::npos) << error;
}

INSTANTIATE_TEST_SUITE_P(
    Headers,
    BadSafetensors,
    testing::Values(
        Bad{"negative_dims", tensor("[-1,-1]", "[0,4]"), 4, "negative"},
        Bad{"negative_zero", tensor("[-0]", "[0,0]"), 0, "negative"},
        Bad{"overflow_to_zero",
            tensor("[65536,65536,65536,65536]", "[0,0]"),
            0,
            "too many elements"},
        Bad{"huge", tensor("[1073741824,1073741824,2,2]", "[0,0]"), 0, "too many"},
        Bad{"zero_hides_overflow",
            tensor("[0,2147483647,2147483647,2147483647]", "[0,0]"),
            0,
            "too many"},
        Bad{"wide_dim", tensor("[4294967300]", "[0,16]"), 16, "2^31 - 1"},
        Bad{"dim_2_to_32", tensor("[4294967296]", "[0,0]"), 0, "2^31 - 1"},
        Bad{"dim_over_64_bits",
            tensor("[18446744073709551617]", "[0,4]"),
            4,
            "integer"},
        Bad{"rank_9", tensor("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "at most 8"},
        Bad{"overlap", two("[0,4]", "[0,4]"), 8, "wrong byte, expected 4, got 0"},
        Bad{"hole", two("[0,4]", "[8,12]"), 12, "wrong byte, expected 4, got 8"},
        Bad{"starts_late", tensor("[1]", "[4,8]"), 8, "expected 0, got 4"},
        Bad{"trailing_bytes", tensor("[1]", "[0,4]"), 5, "do not fill"},
        Bad{"truncated_data", tensor("[1]", "[0,4]"), 3, "do not fill"},
        Bad{"data_missing", tensor("[1]", "[0,4]"), 0, "do not fill"},
        Bad{"reversed", tensor("[1]", "[4,0]"), 4, "wrong byte"},
        Bad{"reversed_at_zero", two("[0,4]", "[4,0]"), 8, "expected 4 bytes"},
        Bad{"wraps", tensor("[2]", "[18446744073709551612,4]"), 8, "wrong byte"},
        Bad{"short_offsets", tensor("[2]", "[0,4]"), 4, "expected 8 bytes"},
        Bad{"float_offsets", tensor("[1]", "[0.0,4.0]"), 4, "integer"},
        Bad{"negative_offsets", tensor("[1]", "[-4,0]"), 4, "negative"},
        Bad{"one_offset", tensor("[1]", "[0]"), 4, "2 numbers"},
        Bad{"three_offsets", tensor("[1]", "[0,4,4]"), 4, "2 numbers"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Grammar,
    BadSafetensors,
    testing::Values(
        Bad{"float_dims", tensor("[1.0]", "[0,4]"), 4, "integer"},
        Bad{"bool_dims", tensor("[true]", "[0,4]"), 4, "boolean"},
        Bad{"string_dims", tensor("[\"1\"]", "[0,4]"), 4, "a string"},
        Bad{"nested_dims", tensor("[[1]]", "[0,4]"), 4, "an array"},
        Bad{"shape_null", tensor("null", "[0,4]"), 4, "null"},
        Bad{"shape_object", tensor("{}", "[0,4]"), 4, "an object"},
        Bad{"duplicate_tensor",
            R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
            0,
            "duplicate name 'a'"},
        Bad{"duplicate_key",
            R"({"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
            0,
            "duplicate key 'dtype'"},
        Bad{"duplicate_metadata",
            R"({"__metadata__":{"x":"1","x":"2"}})",
            0,
            "duplicate metadata key 'x'"},
        Bad{"second_metadata",
            R"({"__metadata__":{},"__metadata__":{}})",
            0,
            "duplicate name"},
        Bad{"metadata_number", R"({"__metadata__":{"x":1}})", 0, "expected a string"},
        Bad{"metadata_list", R"({"__metadata__":["x"]})", 0, "expected an object"},
        Bad{"unknown_key",
            R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}})",
            0,
            "unknown key 'x'"},
        Bad{"no_shape", R"({"a":{"dtype":"U8","data_offsets":[0,0]}})", 0, "lacks"},
        Bad{"unknown_dtype",
            R"({"a":{"dtype":"F33","shape":[0],"data_offsets":[0,0]}})",
            0,
            "unknown dtype 'F33'"},
        Bad{"dtype_number",
            R"({"a":{"dtype":1,"shape":[0],"data_offsets":[0,0]}})",
            0,
            "expected a string"},
        Bad{"tensor_is_number", R"({"a":1})", 0, "expected an object"},
        Bad{"top_array", "[]", 0, "start with '{'"},
        Bad{"leading_space", " {}", 0, "start with '{'"},
        Bad{"empty", "", 0, "start with '{'"},
        Bad{"cut", R"({"a":{"dtype":"U8")", 0, "not valid JSON"},
        Bad{"two_documents", "{}{}", 0, "not valid JSON"},
        Bad{"not_utf8", "{\"\xff\xfe\":{}}", 0, "not valid JSON"},
        Bad{"zero_byte", std::string("{}\0 polyglot", 12), 0, "zero byte"},
        Bad{"newline_in_name", R"({"a\nb":1})", 0, R"('a\nb')"}),
    [](const auto& info) { return info.param.name; });

TEST(Safetensors, RejectsWrongLengths) {
  EXPECT_NE(error_of("").find("truncated"), std::string::npos);
  EXPECT_NE(error_of("{\"a\":1").find("truncated"), std::string::npos);
  for (uint64_t length :
       {uint64_t{3}, uint64_t{100'000'001}, uint64_t{1} << 63, ~uint64_t{0}}) {
    auto error = error_of(length_prefix(length) + "{}");
    EXPECT_NE(error.find("header length, expected at most 2"), std::string::npos);
  }
}

TEST(Safetensors, BoundsTheNumberOfTensors) {
  auto path = file_of(with_header(many_tensors(100'000), 0));
  EXPECT_EQ(read_safetensors_header(path).tensors.size(), 100'000u);
  auto error = error_of(with_header(many_tensors(100'001), 0));
  EXPECT_NE(error.find("too many tensors"), std::string::npos) << error;
}

TEST(Safetensors, RejectsWhatIsNoFile) {
  EXPECT_THROW(read_safetensors_header("/nonexistent"), std::invalid_argument);
  EXPECT_THROW(read_safetensors_header("/"), std::invalid_argument);
  EXPECT_THROW(read_safetensors_header("/dev/null"), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
