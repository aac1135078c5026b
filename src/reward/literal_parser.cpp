
#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "reward/literal_tokens.h"

namespace pupil {
namespace {

using Kind = Value::Kind;
constexpr int kMaxDepth = 60;

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80);
}

bool take_keyword(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  if (text.size() > word.size() && is_word(text[word.size()])) return false;
  text.remove_prefix(word.size());
  return true;
}

bool negate(Value& value) {
  switch (value.kind) {
    case Kind::boolean:
      value.kind = Kind::integer;
      value.text = value.real != 0 ? "1" : "0";
      [[fallthrough]];
    case Kind::integer:
      if (value.text != "0") {
        value.text = value.text[0] == '-' ? value.text.substr(1) : "-" + value.text;
      }
      return true;
    case Kind::real:
    case Kind::complex:
      value.real = -value.real;
      value.imaginary = -value.imaginary;
      return true;
    default:
      return false;
  }
}

double as_double(const Value& value) {
  return value.kind == Kind::integer
             ? std::strtod(
                   (value.text[0] == '-' ? "-0x" + value.text.substr(1)
                                         : "0x" + value.text)
                       .c_str(),
                   nullptr)
             : value.real;
}

std::optional<Value> read_value(std::string_view& text, int depth);

/// Items up to `close`. `*commas` tells "(1)" from "(1,)".
bool read_items(
    std::string_view& text,
    std::string_view close,
    int depth,
    Value& value,
    bool* comma) {
  *comma = false;
  for (skip_blank(text); !take_token(text, close); skip_blank(text)) {
    if (!value.items.empty() && !*comma) return false;
    auto item = read_value(text, depth + 1);
    if (!item) return false;
    value.items.push_back(std::move(*item));
    skip_blank(text);
    *comma = take_token(text, ",");
  }
  return true;
}

std::optional<Value> read_braces(std::string_view& text, int depth) {
  Value value{.kind = Kind::dict};
  bool first = true, comma = false;
  for (skip_blank(text); !take_token(text, "}"); skip_blank(text)) {
    if (!first && !comma) return std::nullopt;
    auto item = read_value(text, depth + 1);
    if (!item) return std::nullopt;
    value.items.push_back(std::move(*item));
    skip_blank(text);
    const bool has_value = take_token(text, ":");
    if (first && !has_value) value.kind = Kind::set;
    if (has_value != (value.kind == Kind::dict)) return std::nullopt;
    if (has_value) {
      item = read_value(text, depth + 1);
      if (!item) return std::nullopt;
      value.items.push_back(std::move(*item));
      skip_blank(text);
    }
    comma = take_token(text, ",");
    first = false;
  }
  return value;
}

std::optional<Value> read_atom(std::string_view& text, int depth) {
  bool comma = false;
  if (take_token(text, "(")) {
    Value tuple{.kind = Kind::tuple};
    if (!read_items(text, ")", depth, tuple, &comma)) return std::nullopt;
    const bool grouping = tuple.items.size() == 1 && !comma;
    return grouping ? std::move(tuple.items[0]) : std::move(tuple);
  }
  if (take_token(text, "[")) {
    Value list{.kind = Kind::list};
    if (!read_items(text, "]", depth, list, &comma)) return std::nullopt;
    return list;
  }
  if (take_token(text, "{")) return read_braces(text, depth);
  if (take_token(text, "set()")) return Value{.kind = Kind::set};
  if (take_keyword(text, "None")) return Value{};
  if (take_keyword(text, "True")) return Value{.kind = Kind::boolean, .real = 1};
  if (take_keyword(text, "False")) return Value{.kind = Kind::boolean};
  if (text.empty()) return std::nullopt;
  const char c = text[0];
  if (c == '.' || (c >= '0' && c <= '9')) return read_number(text);
  return read_strings(text);
}

std::optional<Value> read_signed(std::string_view& text, int depth) {
  bool negative = false, sign = false;
  for (skip_blank(text);; skip_blank(text)) {
    if (take_token(text, "-")) {
      negative = !negative;
    } else if (!take_token(text, "+")) {
      break;
    }
    sign = true;
  }
  auto value = read_atom(text, depth);
  if (!value || !sign) return value;
  if (!negate(*value)) return std::nullopt;
  if (!negative) negate(*value);
  return value;
}

/// A signed atom, or a real and an imaginary part: "1 - 2j".
std::optional<Value> read_value(std::string_view& text, int depth) {
  if (depth > kMaxDepth) return std::nullopt;
  auto value = read_signed(text, depth);
  if (!value || (value->kind != Kind::integer && value->kind != Kind::real))
    return value;
  std::string_view rest = text;
  skip_blank(rest);
  if (!rest.starts_with("+") && !rest.starts_with("-")) return value;
  const auto imaginary = read_signed(rest, depth);
  if (!imaginary || imaginary->kind != Kind::complex) return value;
  text = rest;
  const double real = as_double(*value);
  return Value{.kind = Kind::complex, .real = real, .imaginary = imaginary->imaginary};
}

}  // namespace

void skip_blank(std::string_view& text) {
  while (!text.empty()) {
    if (text[0] == '#') {
      text.remove_prefix(std::min(text.find('\n'), text.size()));
    } else if (text.starts_with("\\\n")) {
      text.remove_prefix(2);
    } else if (
        text[0] == ' ' || text[0] == '\t' || text[0] == '\n' || text[0] == '\r') {
      text.remove_prefix(1);
    } else {
      return;
    }
  }
}

std::optional<Value> read_literal(std::string_view& text) {
  std::string_view rest = text;
  auto value = read_value(rest, 0);
  // "12abc" and "None_" are no literals.
  if (!value || (!rest.empty() && is_word(rest[0]) && is_word(rest.data()[-1]))) {
    return std::nullopt;
  }
  text = rest;
  return value;
}

}  // namespace pupil
