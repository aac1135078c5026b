// SHA-256 (FIPS 180-4) by OpenSSL, for cache keys and checksums.

#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace pupil {

/// A running digest. One thread; `hex` ends it.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  /// Adds bytes as they are.
  Sha256& bytes(std::string_view data);

  /// Adds the bytes of a file of any size, block by block, and says how many they were.
  /// Throws std::invalid_argument if it cannot be read.
  uint64_t file(const std::filesystem::path& path);

  /// Adds a field: its length in 8 bytes, little endian, then its bytes. Two lists of
  /// fields never give the same input, wherever their borders lie.
  Sha256& field(std::string_view data);
  Sha256& field(int64_t number);
  Sha256& field(double number);

  /// 64 lower-case hexadecimal digits.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The digest of `data`, as 64 lower-case hexadecimal digits.
std::string sha256_hex(std::string_view data);

}  // namespace pupil
