#include "hub/partial_file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/file.h"

namespace pupil {

namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw std::runtime_error(
      "[hub] " + path.string() + ": " + what + ": " + std::strerror(errno));
}

void require(int ok) {
  if (ok != 1) throw std::runtime_error("[hub] OpenSSL has no working hash");
}

}  // namespace

// sha256 of the content, as Git LFS names it, or git's sha1 of it as a blob.
struct PartialFile::Digest {
  explicit Digest(const HubFile& file) {
    require(
        EVP_DigestInit_ex(context, file.is_lfs ? EVP_sha256() : EVP_sha1(), nullptr));
    if (file.is_lfs) return;
    auto head = "blob " + std::to_string(file.size);
    add({head.c_str(), head.size() + 1});
  }
  ~Digest() { EVP_MD_CTX_free(context); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void add(std::string_view bytes) {
    require(EVP_DigestUpdate(context, bytes.data(), bytes.size()));
  }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned length = 0;
    require(EVP_DigestFinal_ex(context, digest.data(), &length));
    std::string text;
    for (unsigned i = 0; i < length; ++i) {
      for (int half : {digest[i] >> 4, digest[i] & 15})
        text += "0123456789abcdef"[half];
    }
    return text;
  }

  EVP_MD_CTX* context = EVP_MD_CTX_new();
};

PartialFile::PartialFile(std::filesystem::path path, const HubFile& expected)
    : path_(std::move(path)),
      expected_(expected),
      file_(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)),
      digest_(std::make_unique<Digest>(expected)) {
  if (!file_) fail(path_, "cannot open");
  read_back();
}

PartialFile::~PartialFile() = default;

void PartialFile::read_back() {
  std::string buffer(1 << 20, '\0');
  while (true) {
    ssize_t got = ::read(file_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path_, "cannot read");
    if (got == 0) break;
    size_ += got;
    digest_->add({buffer.data(), static_cast<size_t>(got)});
  }
  if (size_ > expected_.size) restart();
}

void PartialFile::append(std::string_view bytes) {
  if (size_ + static_cast<int64_t>(bytes.size()) > expected_.size) {
    ::unlink(path_.c_str());
    throw std::runtime_error(
        "[hub] " + expected_.name + ": more bytes than the hub's listing says, " +
        std::to_string(expected_.size) + "; they were removed; try again");
  }
  while (!bytes.empty()) {
    ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path_, "cannot write");
    digest_->add(bytes.substr(0, static_cast<size_t>(written)));
    size_ += written;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void PartialFile::restart() {
  if (::ftruncate(file_.get(), 0) != 0) fail(path_, "cannot empty it");
  size_ = 0;
  digest_ = std::make_unique<Digest>(expected_);
}

void PartialFile::finish(const std::filesystem::path& name) {
  auto hash = digest_->hex();
  if (size_ != expected_.size || hash != expected_.blob) {
    ::unlink(path_.c_str());
    throw std::runtime_error(
        "[hub] " + expected_.name + ": wrong bytes, expected " +
        std::to_string(expected_.size) + " with hash " + expected_.blob + ", got " +
        std::to_string(size_) + " with " + hash + "; they were removed; try again");
  }
  sync_path(path_);
  rename_durably(path_, name);
}

}  // namespace pupil
