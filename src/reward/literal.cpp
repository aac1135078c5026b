#include "reward/literal.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <map>
#include <set>

#include "base/quote.h"

namespace pupil {
namespace {

using Kind = Value::Kind;

std::string with_length(const std::string& text) {
  return std::to_string(text.size()) + ":" + text;
}

// Appends instead of `"i" + text`, for which GCC 12 warns falsely.
std::string tagged(const char* tag, const std::string& text, const char* end = "") {
  std::string result(tag);
  result += text;
  result += end;
  return result;
}

/// A text that nothing else has: what equals nothing, not even itself.
std::string unequal() {
  static std::atomic<uint64_t> count{0};
  return tagged("?", std::to_string(++count));
}

/// The integer that a whole double is, in hexadecimal: 24.0 -> "18".
std::string whole_hex(double number) {
  int exponent = 0;
  const double fraction = std::frexp(std::fabs(number), &exponent);
  auto mantissa = static_cast<uint64_t>(std::ldexp(fraction, 53));
  exponent -= 53;
  std::string zeros;
  if (exponent < 0) {
    mantissa >>= -exponent;  // the bits that fall off are 0: the number is whole
  } else {
    mantissa <<= exponent % 4;
    zeros.assign(static_cast<size_t>(exponent / 4), '0');
  }
  char digits[20];
  std::snprintf(
      digits, sizeof(digits), "%llx", static_cast<unsigned long long>(mantissa));
  return tagged(number < 0 ? "-" : "", digits) + zeros;
}

std::string canonical_real(double number) {
  if (std::isnan(number)) return unequal();
  if (number == 0) return "i0;";
  const bool whole = std::isfinite(number) && number == std::trunc(number);
  // A whole number below 1 in magnitude is 0, so its exponent is never below -52.
  if (whole) return tagged("i", whole_hex(number), ";");
  char text[40];
  std::snprintf(text, sizeof(text), "f%a;", number);
  return text;
}

std::string joined(const char* tag, const std::vector<Value>& items) {
  std::string text = tagged(tag, std::to_string(items.size()), "(");
  for (const auto& item : items) text += canonical(item);
  return text + ")";
}

std::string canonical_set(const std::vector<Value>& items) {
  std::set<std::string> members;
  for (const auto& item : items) members.insert(canonical(item));
  std::string text = tagged("S", std::to_string(members.size()), "(");
  for (const auto& member : members) text += with_length(member);
  return text + ")";
}

std::string canonical_dict(const std::vector<Value>& items) {
  std::map<std::string, std::string> entries;  // of equal keys the last value counts
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    entries[canonical(items[i])] = canonical(items[i + 1]);
  }
  std::string text = tagged("d", std::to_string(entries.size()), "(");
  for (const auto& [key, value] : entries)
    text += with_length(key) + with_length(value);
  return text + ")";
}

std::string canonical_complex(const Value& value) {
  if (value.imaginary == 0) return canonical_real(value.real);
  return tagged("c", canonical_real(value.real)) + canonical_real(value.imaginary);
}

}  // namespace

std::string canonical(const Value& value) {
  switch (value.kind) {
    case Kind::none:
      return "N";
    case Kind::boolean:
      return value.real != 0 ? "i1;" : "i0;";
    case Kind::integer:
      return tagged("i", value.text, ";");
    case Kind::real:
      return canonical_real(value.real);
    case Kind::complex:
      return canonical_complex(value);
    case Kind::string:
      return tagged("s", with_length(value.text));
    case Kind::bytes:
      return tagged("b", with_length(value.text));
    case Kind::tuple:
      return joined("t", value.items);
    case Kind::list:
      return joined("l", value.items);
    case Kind::set:
      return canonical_set(value.items);
    case Kind::dict:
      return canonical_dict(value.items);
    case Kind::other:
      return unequal();
  }
  return "";
}

namespace {

std::string preview_items(const Value& value, size_t limit) {
  const bool tuple = value.kind == Kind::tuple, list = value.kind == Kind::list;
  std::string text(1, tuple ? '(' : list ? '[' : '{');
  for (size_t i = 0; i < value.items.size(); ++i) {
    const bool after_key = value.kind == Kind::dict && i % 2 == 1;
    if (i > 0) text += after_key ? ": " : ", ";
    if (text.size() >= limit) {
      text += "...";
      break;
    }
    text += preview(value.items[i], limit - text.size());
  }
  return text + (tuple ? ')' : list ? ']' : '}');
}

std::string preview_integer(const std::string& hex, size_t limit) {
  if (hex.size() <= 12) return std::to_string(std::stoll(hex, nullptr, 16));
  const size_t sign = hex[0] == '-';
  return (sign ? "-0x" : "0x") + hex.substr(sign, limit);
}

std::string preview_number(double number) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.12g", number);
  return text;
}

}  // namespace

std::string preview(const Value& value, size_t limit) {
  switch (value.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return value.real != 0 ? "True" : "False";
    case Kind::integer:
      return preview_integer(value.text, limit);
    case Kind::real:
      return preview_number(value.real);
    case Kind::complex:
      return preview_number(value.real) + "+" + preview_number(value.imaginary) + "j";
    case Kind::bytes:
      return tagged("b", in_quotes(value.text, limit));
    case Kind::string:
      return in_quotes(value.text, limit);
    case Kind::tuple:
    case Kind::list:
    case Kind::set:
    case Kind::dict:
      return preview_items(value, limit);
    case Kind::other:
      return tagged("a value of type ", value.text.substr(0, limit));
  }
  return "";
}

}  // namespace pupil
