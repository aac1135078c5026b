#include "text/chat_marks.h"

#include <algorithm>

namespace pupil {
namespace {

// transformers marks control tokens with the same two (chat_template_utils.py).
constexpr std::string_view kOpen = "\xF3\xB0\x80\x80", kClose = "\xF3\xB0\x80\x81";
// Characters that mean nothing in JSON strings, in Jinja or at the ends of a text.
constexpr std::string_view kStandIns = "(;~@QZ";

/// The length of the longest special literal at `at`; 0 if there is none.
size_t special_at(
    std::string_view text, size_t at, const std::vector<std::string>& special) {
  size_t longest = 0;
  for (const auto& literal : special) {
    if (literal.size() > longest && text.substr(at).starts_with(literal)) {
      longest = literal.size();
    }
  }
  return longest;
}

bool has_special(std::string_view text, const std::vector<std::string>& special) {
  return std::any_of(special.begin(), special.end(), [&](const auto& literal) {
    return text.find(literal) != std::string_view::npos;
  });
}

bool disguise(std::string& text, const std::vector<std::string>& special, char with) {
  const std::string original = text;
  for (size_t at = 0; at < original.size(); ++at) {
    if (special_at(original, at, special) == 0) continue;
    if (static_cast<unsigned char>(original[at]) >= 0x80) return false;
    text[at] = with;
  }
  return !has_special(text, special);
}

void erase_all(std::string& text, std::string_view part) {
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at)) {
    text.erase(at, part.size());
  }
}

std::string wrap(std::string text, const std::vector<std::string>& special) {
  erase_all(text, kOpen);
  erase_all(text, kClose);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    auto len = special_at(text, at, special);
    if (len > 0) out += kOpen;
    out += text.substr(at, std::max<size_t>(len, 1));
    if (len > 0) out += kClose;
    at += std::max<size_t>(len, 1);
  }
  return out;
}

}  // namespace

bool has_special(
    std::span<const Message> messages, const std::vector<std::string>& special) {
  return std::any_of(messages.begin(), messages.end(), [&](const Message& message) {
    return has_special(message.role, special) || has_special(message.content, special);
  });
}

std::optional<std::vector<Message>> disguise(
    std::span<const Message> messages, const std::vector<std::string>& special) {
  for (char with : kStandIns) {
    std::vector<Message> copy(messages.begin(), messages.end());
    bool free = std::all_of(copy.begin(), copy.end(), [&](Message& message) {
      return disguise(message.role, special, with) &&
             disguise(message.content, special, with);
    });
    if (free) return copy;
  }
  return std::nullopt;
}

std::optional<std::vector<pt_span>> disguised_spans(
    std::string_view text,
    std::string_view disguised,
    const std::vector<std::string>& special) {
  if (text.size() != disguised.size()) return std::nullopt;
  std::vector<pt_span> spans;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == disguised[at]) continue;
    bool first = std::any_of(special.begin(), special.end(), [&](const auto& literal) {
      return !literal.empty() && literal[0] == text[at];
    });
    if (!first || kStandIns.find(disguised[at]) == kStandIns.npos) return std::nullopt;
    spans.push_back({at, at + 1});
  }
  return spans;
}

std::vector<Message> wrap_special(
    std::span<const Message> messages, const std::vector<std::string>& special) {
  std::vector<Message> wrapped;
  for (const auto& message : messages) {
    wrapped.push_back({wrap(message.role, special), wrap(message.content, special)});
  }
  return wrapped;
}

std::vector<pt_span> unwrap(std::string& text) {
  std::vector<pt_span> spans;
  std::optional<size_t> open;
  std::string out;
  for (size_t at = 0; at < text.size();) {
    auto rest = std::string_view(text).substr(at);
    bool opens = rest.starts_with(kOpen), closes = rest.starts_with(kClose);
    if (!opens && !closes) {
      out += text[at++];
      continue;
    }
    spans.push_back({closes && open ? *open : out.size(), out.size()});
    open = opens ? std::optional(out.size()) : std::nullopt;
    at += kOpen.size();
  }
  text = out;
  return spans;
}

}  // namespace pupil
