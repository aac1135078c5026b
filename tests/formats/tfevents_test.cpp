#include "formats/tfevents.h"

#include <gtest/gtest.h>
#include <cmath>
#include <iomanip>
#include <sstream>

namespace pupil {

namespace {

std::string hex(const std::string& bytes) {
  std::ostringstream out;
  for (unsigned char byte : bytes)
    out << std::hex << std::setw(2) << std::setfill('0') << int(byte);
  return out.str();
}

}  // namespace

TEST(TfEvents, ChecksumsAreThoseOfTheStandard) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
}

TEST(TfEvents, RecordsAreFramed) {
  auto record = tf_record("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(hex(record.substr(0, 8)), "0300000000000000");
  EXPECT_EQ(record.substr(12, 3), "abc");
}

TEST(TfEvents, AScalarIsAnEventMessage) {
  auto record = scalar_record(1.0, 300, {{"loss", 0.5f}});
  auto event = hex(record.substr(12, record.size() - 16));
  // wall_time 1.0; step 300; summary {value {tag "loss", simple_value 0.5}}
  EXPECT_EQ(
      event,
      "09000000000000f03f"
      "10ac02"
      "2a0d"
      "0a0b"
      "0a046c6f7373"
      "150000003f");
  EXPECT_NE(event_file_header(1.0).find("brain.Event:2"), std::string::npos);
}

TEST(TfEvents, ASessionThatStartsIsAnEventMessage) {
  auto record = session_start_record(1.0, 300);
  // wall_time 1.0; step 300; session_log {status START}
  EXPECT_EQ(
      hex(record.substr(12, record.size() - 16)), "09000000000000f03f10ac023a020801");
}

// Their fields: tests/interchange/tensorboard_events.py.
TEST(TfEvents, AHistogramOfNothingIsNoRecord) {
  EXPECT_EQ(histogram_record(1.0, 1, "h", {}), "");
  const double nan[] = {NAN};
  EXPECT_EQ(histogram_record(1.0, 1, "h", nan), "");
  const double one[] = {2.0};
  auto record = histogram_record(1.0, 1, "h", one);
  auto histogram = hex(record.substr(12, record.size() - 16));
  // min 2, max 2, num 1, sum 2, sum of squares 4; bucket_limit [2], bucket [1]
  EXPECT_NE(
      histogram.find("090000000000000040"
                     "110000000000000040"
                     "19000000000000f03f"
                     "210000000000000040"
                     "290000000000001040"
                     "32080000000000000040"
                     "3a08000000000000f03f"),
      std::string::npos)
      << histogram;
}

}  // namespace pupil
