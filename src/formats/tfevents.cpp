#include "formats/tfevents.h"

#include <array>
#include <bit>

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

}  // namespace pupil
