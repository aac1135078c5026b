#include "reward/literal_tokens.h"

#include <cctype>
#include <cstdint>
#include <cstdlib>

namespace pupil {
namespace {

using Kind = Value::Kind;
constexpr size_t kMaxDigits = 4300;  // sys.int_info.default_max_str_digits

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(std::tolower(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

// ---- numbers ----

/// The digits of any base as hexadecimal, "0" for zero.
std::string to_hex(const std::string& digits, unsigned base) {
  std::vector<uint32_t> words;  // little end first
  for (const char c : digits) {
    uint64_t carry = static_cast<uint64_t>(digit_of(c));
    for (auto& word : words) {
      carry += uint64_t{word} * base;
      word = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry) words.push_back(static_cast<uint32_t>(carry));
  }
  std::string hex;
  for (size_t i = words.size() * 8; i-- > 0;) {
    const unsigned nibble = words[i / 8] >> (i % 8 * 4) & 15;
    if (nibble || !hex.empty()) hex += "0123456789abcdef"[nibble];
  }
  return hex.empty() ? "0" : hex;
}

/// Digits with single underscores between them; empty if there are none.
std::string take_digits(std::string_view& text, int base) {
  std::string digits;
  size_t i = 0;
  for (; i < text.size(); ++i) {
    if (digit_of(text[i]) < base) {
      digits += text[i];
    } else if (text[i] != '_' || i == 0 || text[i - 1] == '_') {
      break;
    }
  }
  if (i > 0 && text[i - 1] == '_') return "";
  text.remove_prefix(i);
  return digits;
}

std::optional<Value> integer(const std::string& digits, unsigned base) {
  if (digits.empty() || digits.size() > kMaxDigits) return std::nullopt;
  return Value{.kind = Kind::integer, .text = to_hex(digits, base)};
}

/// The base that "0x", "0o" or "0b" says; 0 without one.
unsigned prefixed_base(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  const char letter = static_cast<char>(std::tolower(text[1]));
  return letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
}

/// An exponent with its 'e', or nothing.
std::string take_exponent(std::string_view& text) {
  if (text.empty() || (text[0] != 'e' && text[0] != 'E')) return "";
  std::string_view rest = text.substr(1);
  std::string exponent = "e";
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) {
    exponent += rest[0];
    rest.remove_prefix(1);
  }
  const std::string digits = take_digits(rest, 10);
  if (digits.empty()) return "";
  text = rest;
  return exponent + digits;
}

}  // namespace

std::optional<Value> read_number(std::string_view& text) {
  if (const unsigned base = prefixed_base(text)) {
    text.remove_prefix(2);
    take_token(text, "_");
    return integer(take_digits(text, static_cast<int>(base)), base);
  }
  std::string number = take_digits(text, 10);
  const bool leading_zero = number.size() > 1 && number[0] == '0' &&
                            number.find_first_not_of('0') != std::string::npos;
  const size_t whole_digits = number.size();
  bool real = false;
  if (take_token(text, ".")) {
    real = true;
    const std::string fraction = take_digits(text, 10);
    if (whole_digits == 0 && fraction.empty()) return std::nullopt;
    number += "." + fraction;
  } else if (whole_digits == 0) {
    return std::nullopt;
  }
  const std::string exponent = take_exponent(text);
  number += exponent;
  real |= !exponent.empty();
  if (take_token(text, "j") || take_token(text, "J")) {
    return Value{
        .kind = Kind::complex, .imaginary = std::strtod(number.c_str(), nullptr)};
  }
  if (real)
    return Value{.kind = Kind::real, .real = std::strtod(number.c_str(), nullptr)};
  if (leading_zero) return std::nullopt;
  return integer(number, 10);
}

namespace {

// ---- strings ----

void append_utf8(std::string& out, uint32_t c) {
  auto tail = [&](int shift) { out += static_cast<char>(0x80 | (c >> shift & 0x3f)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6), tail(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | c >> 12), tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | c >> 18), tail(12), tail(6), tail(0);
  }
}

/// Up to `count` digits of a base; exactly `count` if `exact`. None if there are not.
std::optional<uint32_t> take_code(
    std::string_view& text, size_t count, int base, bool exact) {
  uint32_t code = 0;
  size_t i = 0;
  for (; i < count && i < text.size() && digit_of(text[i]) < base; ++i) {
    code =
        code * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit_of(text[i]));
  }
  if (i == 0 || (exact && i < count)) return std::nullopt;
  text.remove_prefix(i);
  return code;
}

/// A numeric escape, behind its backslash: \x41, \101, \u0041, \U00000041.
bool take_numeric_escape(std::string_view& text, bool bytes, std::string& out) {
  std::optional<uint32_t> code;
  if (take_token(text, "x")) {
    code = take_code(text, 2, 16, true);
  } else if (!bytes && take_token(text, "u")) {
    code = take_code(text, 4, 16, true);
  } else if (!bytes && take_token(text, "U")) {
    code = take_code(text, 8, 16, true);
  } else {
    code = take_code(text, 3, 8, false);
  }
  if (!code || *code > 0x10ffff) return false;
  if (bytes) {
    out += static_cast<char>(*code);
  } else {
    append_utf8(out, *code);
  }
  return true;
}

bool take_escape(std::string_view& text, bool bytes, std::string& out) {
  constexpr std::string_view kLetters = "\\'\"abfnrtv";
  constexpr std::string_view kMeaning = "\\'\"\a\b\f\n\r\t\v";
  if (text.empty()) return false;
  if (take_token(text, "\n")) return true;
  if (const auto i = kLetters.find(text[0]); i != std::string_view::npos) {
    out += kMeaning[i];
    text.remove_prefix(1);
    return true;
  }
  const char c = text[0];
  const bool wide = !bytes && (c == 'u' || c == 'U');
  if (c == 'x' || wide || (c >= '0' && c <= '7')) {
    return take_numeric_escape(text, bytes, out);
  }
  if (c == 'N' && !bytes) return false;
  out += '\\';  // an unknown escape stays as it is
  return true;
}

struct StringPrefix {
  bool raw = false, bytes = false;
};

std::optional<StringPrefix> take_prefix(std::string_view& text) {
  StringPrefix prefix;
  size_t i = 0;
  for (; i < text.size() && i < 3 && text[i] != '\'' && text[i] != '"'; ++i) {
    const char c = static_cast<char>(std::tolower(text[i]));
    if (c == 'r' && !prefix.raw) {
      prefix.raw = true;
    } else if (c == 'b' && !prefix.bytes) {
      prefix.bytes = true;
    } else if (c != 'u' || i > 0) {
      return std::nullopt;
    }
  }
  if (i >= text.size() || (text[i] != '\'' && text[i] != '"')) return std::nullopt;
  text.remove_prefix(i);
  return prefix;
}

std::optional<Value> read_string(std::string_view& text) {
  const auto prefix = take_prefix(text);
  if (!prefix) return std::nullopt;
  Value value{.kind = prefix->bytes ? Kind::bytes : Kind::string};
  const std::string quote(text.starts_with(std::string(3, text[0])) ? 3 : 1, text[0]);
  text.remove_prefix(quote.size());
  while (!take_token(text, quote)) {
    if (text.empty() || (quote.size() == 1 && text[0] == '\n')) return std::nullopt;
    const char c = text[0];
    text.remove_prefix(1);
    if (c != '\\') {
      if (prefix->bytes && (c & 0x80)) return std::nullopt;
      value.text += c;
    } else if (!prefix->raw) {
      if (!take_escape(text, prefix->bytes, value.text)) return std::nullopt;
    } else {
      value.text += c;
      if (text.empty()) return std::nullopt;
      value.text += text[0];
      text.remove_prefix(1);
    }
  }
  return value;
}

}  // namespace

std::optional<Value> read_strings(std::string_view& text) {
  auto value = read_string(text);
  while (value) {
    std::string_view next = text;
    skip_blank(next);
    const auto more = read_string(next);
    if (!more) break;
    if (more->kind != value->kind) return std::nullopt;
    value->text += more->text;
    text = next;
  }
  return value;
}

}  // namespace pupil
