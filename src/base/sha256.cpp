#include "base/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <bit>
#include <fstream>
#include <stdexcept>

namespace pupil {

namespace {

void require(int ok) {
  if (ok != 1) throw std::runtime_error("[sha256] OpenSSL has no working SHA-256");
}

std::string little_endian(uint64_t number) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(number >> (8 * i));
  return out;
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  require(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr));
}

Sha256::~Sha256() = default;

Sha256& Sha256::bytes(std::string_view data) {
  require(EVP_DigestUpdate(state_->context, data.data(), data.size()));
  return *this;
}

uint64_t Sha256::file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string block(size_t{1} << 20, '\0');
  uint64_t size = 0;
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())) ||
         in.gcount() > 0) {
    auto count = static_cast<size_t>(in.gcount());
    bytes({block.data(), count});
    size += count;
  }
  if (!in.eof())
    throw std::invalid_argument("[sha256] " + path.string() + ": cannot read");
  return size;
}

Sha256& Sha256::field(std::string_view data) {
  return bytes(little_endian(data.size())).bytes(data);
}

Sha256& Sha256::field(int64_t number) {
  return field(little_endian(static_cast<uint64_t>(number)));
}

Sha256& Sha256::field(double number) {
  return field(little_endian(std::bit_cast<uint64_t>(number)));
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  require(EVP_DigestFinal_ex(state_->context, digest.data(), &size));
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    out += kDigits[digest[i] >> 4];
    out += kDigits[digest[i] & 15];
  }
  return out;
}

std::string sha256_hex(std::string_view data) {
  return Sha256().bytes(data).hex();
}

}  // namespace pupil
