#include "formats/tfevents.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace pupil {

namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = value & 1 ? value >> 1 ^ 0x82f63b78u : value >> 1;
    }
    table[i] = value;
  }
  return table;
}
constexpr auto kTable = make_table();

// Fixed-width integers are little endian on every platform.
template <class T>
void add_fixed(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  }
}

void add_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

// Protocol buffer fields: the number and the wire type, then the value.
void add_double(std::string& out, int field, double value) {
  add_varint(out, field << 3 | 1);
  add_fixed(out, std::bit_cast<uint64_t>(value));
}
void add_int(std::string& out, int field, int64_t value) {
  add_varint(out, field << 3);
  add_varint(out, static_cast<uint64_t>(value));
}
void add_bytes(std::string& out, int field, std::string_view value) {
  add_varint(out, field << 3 | 2);
  add_varint(out, value.size());
  out += value;
}
void add_float(std::string& out, int field, float value) {
  add_varint(out, field << 3 | 5);
  add_fixed(out, std::bit_cast<uint32_t>(value));
}

// A checksum of data that holds its own checksum is weak: TensorFlow rotates it.
uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
}

// An event with one summary value.
std::string value_record(double wall_time, int64_t step, std::string_view value) {
  std::string summary, event;
  add_bytes(summary, 1, value);
  add_double(event, 1, wall_time);
  add_int(event, 2, step);
  add_bytes(event, 5, summary);
  return tf_record(event);
}

// Repeated doubles, packed.
void add_doubles(std::string& out, int field, std::span<const double> values) {
  std::string packed;
  for (double value : values) add_fixed(packed, std::bit_cast<uint64_t>(value));
  add_bytes(out, field, packed);
}

struct Buckets {
  std::vector<double> limits, counts;  // upper limits
};

// A value on a border belongs to the bucket above it, the largest to the last.
Buckets buckets_of(std::span<const double> values, double least, double largest) {
  constexpr int kCount = 30;
  double width = (largest - least) / kCount;
  if (width == 0) return {{largest}, {static_cast<double>(values.size())}};
  Buckets buckets{{}, std::vector<double>(kCount)};
  for (int i = 1; i < kCount; ++i) buckets.limits.push_back(least + i * width);
  buckets.limits.push_back(largest);
  for (double value : values) {
    int bucket = static_cast<int>((value - least) / width);
    buckets.counts[std::min(bucket, kCount - 1)] += 1;
  }
  return buckets;
}

// HistogramProto.
std::string histogram_of(std::span<const double> values) {
  auto [least, largest] = std::minmax_element(values.begin(), values.end());
  double sum = 0, squares = 0;
  for (double value : values) sum += value, squares += value * value;
  auto buckets = buckets_of(values, *least, *largest);
  std::string out;
  add_double(out, 1, *least);
  add_double(out, 2, *largest);
  add_double(out, 3, static_cast<double>(values.size()));
  add_double(out, 4, sum);
  add_double(out, 5, squares);
  add_doubles(out, 6, buckets.limits);
  add_doubles(out, 7, buckets.counts);
  return out;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (unsigned char byte : bytes) crc = kTable[(crc ^ byte) & 0xff] ^ crc >> 8;
  return ~crc;
}

std::string tf_record(std::string_view data) {
  std::string record;
  add_fixed<uint64_t>(record, data.size());
  add_fixed(record, masked_crc(record));
  record += data;
  add_fixed(record, masked_crc(data));
  return record;
}

std::string event_file_header(double wall_time) {
  std::string event;
  add_double(event, 1, wall_time);
  add_bytes(event, 3, "brain.Event:2");
  return tf_record(event);
}

std::string session_start_record(double wall_time, int64_t step) {
  constexpr int kStart = 1;  // SessionLog.START
  std::string session, event;
  add_int(session, 1, kStart);
  add_double(event, 1, wall_time);
  add_int(event, 2, step);
  add_bytes(event, 7, session);
  return tf_record(event);
}

std::string scalar_record(
    double wall_time,
    int64_t step,
    const std::vector<std::pair<std::string, float>>& scalars) {
  std::string summary;
  for (const auto& [name, number] : scalars) {
    std::string value;
    add_bytes(value, 1, name);
    add_float(value, 2, number);
    add_bytes(summary, 1, value);
  }
  std::string event;
  add_double(event, 1, wall_time);
  add_int(event, 2, step);
  add_bytes(event, 5, summary);
  return tf_record(event);
}

std::string histogram_record(
    double wall_time,
    int64_t step,
    const std::string& tag,
    std::span<const double> values) {
  std::vector<double> finite;
  for (double value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  if (finite.empty()) return "";
  std::string value;
  add_bytes(value, 1, tag);
  add_bytes(value, 5, histogram_of(finite));
  return value_record(wall_time, step, value);
}

std::string text_record(
    double wall_time, int64_t step, const std::string& tag, std::string_view text) {
  constexpr int kString = 7;  // DT_STRING
  std::string plugin, metadata, size, shape, tensor, value;
  add_bytes(plugin, 1, "text");
  add_bytes(metadata, 1, plugin);
  add_int(size, 1, 1);
  add_bytes(shape, 2, size);
  add_int(tensor, 1, kString);
  add_bytes(tensor, 2, shape);
  add_bytes(tensor, 8, text);
  add_bytes(value, 1, tag);
  add_bytes(value, 8, tensor);
  add_bytes(value, 9, metadata);
  return value_record(wall_time, step, value);
}

}  // namespace pupil
