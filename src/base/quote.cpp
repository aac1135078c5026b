#include "base/quote.h"

#include <cstdio>

namespace pupil {

namespace {

bool is_continuation(char byte) {
  return (byte & 0xC0) == 0x80;
}

std::string_view cut(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  while (max_bytes > 0 && is_continuation(text[max_bytes])) --max_bytes;
  return text.substr(0, max_bytes);
}

void append_escaped(std::string& out, char byte) {
  switch (byte) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (static_cast<unsigned char>(byte) >= 0x20 && byte != 0x7F) {
    out += byte;
    return;
  }
  char escape[8];
  std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(byte));
  out += escape;
}

}  // namespace

std::string in_quotes(std::string_view text, size_t max_bytes) {
  const std::string_view kept = cut(text, max_bytes);
  std::string out = "'";
  for (char byte : kept) append_escaped(out, byte);
  return out + (kept.size() < text.size() ? "...'" : "'");
}

}  // namespace pupil
