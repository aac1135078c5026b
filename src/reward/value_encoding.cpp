#include <charconv>
#include <cstdlib>

#include "reward/literal.h"

namespace pupil {
namespace {

using Kind = Value::Kind;
constexpr int kMaxDepth = 100;

/// The text up to `end`, taken with it. None if there is no `end`.
std::optional<std::string> take_until(std::string_view& bytes, char end) {
  const auto at = bytes.find(end);
  if (at == std::string_view::npos) return std::nullopt;
  std::string text(bytes.substr(0, at));
  bytes.remove_prefix(at + 1);
  return text;
}

std::optional<size_t> take_count(std::string_view& bytes) {
  const auto text = take_until(bytes, ':');
  if (!text || text->empty()) return std::nullopt;
  size_t count = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, count);
  // Every counted thing takes at least one byte.
  if (error != std::errc{} || stop != end || count > bytes.size()) return std::nullopt;
  return count;
}

std::optional<double> take_double(std::string_view& bytes) {
  const auto text = take_until(bytes, ';');
  if (!text || text->empty()) return std::nullopt;
  char* end = nullptr;
  const double number = std::strtod(text->c_str(), &end);
  if (*end != '\0') return std::nullopt;
  return number;
}

bool is_canonical_hex(const std::string& text) {
  const size_t sign = text.starts_with("-");
  const std::string digits = text.substr(sign);
  if (digits.empty() || (digits[0] == '0' && text != "0")) return false;
  return digits.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::optional<Value> take_number(std::string_view& bytes, char tag) {
  if (tag == 'i') {
    auto digits = take_until(bytes, ';');
    if (!digits || !is_canonical_hex(*digits)) return std::nullopt;
    return Value{.kind = Kind::integer, .text = std::move(*digits)};
  }
  const auto real = take_double(bytes);
  if (!real) return std::nullopt;
  if (tag == 'f') return Value{.kind = Kind::real, .real = *real};
  const auto imaginary = take_double(bytes);
  if (!imaginary) return std::nullopt;
  return Value{.kind = Kind::complex, .real = *real, .imaginary = *imaginary};
}

std::optional<Value> take_text(std::string_view& bytes, char tag) {
  const auto count = take_count(bytes);
  if (!count) return std::nullopt;
  const Kind kind = tag == 's' ? Kind::string : tag == 'b' ? Kind::bytes : Kind::other;
  Value value{.kind = kind, .text = std::string(bytes.substr(0, *count))};
  bytes.remove_prefix(*count);
  return value;
}

std::optional<Value> take_value(std::string_view& bytes, int depth);

std::optional<Value> take_items(std::string_view& bytes, char tag, int depth) {
  const auto count = take_count(bytes);
  if (!count) return std::nullopt;
  Value value{.kind = Kind::other, .text = "iterator"};
  if (tag == 't') value.kind = Kind::tuple;
  if (tag == 'l') value.kind = Kind::list;
  if (tag == 'S') value.kind = Kind::set;
  if (tag == 'd') value.kind = Kind::dict;
  const size_t num_values = tag == 'd' ? *count * 2 : *count;
  for (size_t i = 0; i < num_values; ++i) {
    auto item = take_value(bytes, depth + 1);
    if (!item) return std::nullopt;
    value.items.push_back(std::move(*item));
  }
  return value;
}

std::optional<Value> take_value(std::string_view& bytes, int depth) {
  if (bytes.empty() || depth > kMaxDepth) return std::nullopt;
  const char tag = bytes[0];
  bytes.remove_prefix(1);
  switch (tag) {
    case 'N':
      return Value{};
    case 'T':
      return Value{.kind = Kind::boolean, .real = 1};
    case 'F':
      return Value{.kind = Kind::boolean};
    case 'i':
    case 'f':
    case 'c':
      return take_number(bytes, tag);
    case 's':
    case 'b':
    case 'o':
      return take_text(bytes, tag);
    case 't':
    case 'l':
    case 'S':
    case 'd':
    case 'g':
      return take_items(bytes, tag, depth);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<Value> decode_value(std::string_view& bytes) {
  std::string_view rest = bytes;
  auto value = take_value(rest, 0);
  if (value) bytes = rest;
  return value;
}

}  // namespace pupil
