#include "reward/chat_text.h"

#include <cstdint>

namespace pupil {

namespace {

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

// By its second byte: no overlong form, no surrogate, nothing above U+10FFFF.
bool is_minimal(uint8_t first, uint8_t second) {
  if (first == 0xE0) return second >= 0xA0;
  if (first == 0xED) return second < 0xA0;
  if (first == 0xF0) return second >= 0x90;
  if (first == 0xF4) return second < 0x90;
  return true;
}

}  // namespace

size_t utf8_length(std::string_view text, size_t at) {
  auto first = static_cast<uint8_t>(text[at]);
  if (first < 0x80) return 1;
  size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[at + i])) return 0;
  }
  return is_minimal(first, static_cast<uint8_t>(text[at + 1])) ? length : 0;
}

std::string one_line(std::string_view text, size_t max_bytes) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t length = utf8_length(text, at);
    std::string_view piece = length ? text.substr(at, length) : "?";
    at += length ? length : 1;
    auto first = static_cast<unsigned char>(piece[0]);
    bool blank =
        first <= ' ' || first == 0x7F || (first == 0xC2 && uint8_t(piece[1]) < 0xA0);
    if (blank && (out.empty() || out.back() == ' ')) continue;
    if (out.size() + piece.size() > max_bytes) return out + "...";
    out += blank ? " " : piece;
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

std::string without_secret(std::string text, const std::string& secret) {
  if (secret.empty()) return text;
  for (size_t at = 0; (at = text.find(secret, at)) != std::string::npos;) {
    text.replace(at, secret.size(), "[key]");
    at += 5;
  }
  return text;
}

}  // namespace pupil
