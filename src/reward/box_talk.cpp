#include "reward/box_talk.h"

#include <array>
#include <charconv>

namespace pupil {
namespace {

constexpr size_t kMaxHeader = 16;

/// "V 12" as the kind and the payload's length.
std::optional<size_t> payload_length(std::string_view header) {
  if (header.size() < 3 || header[1] != ' ') return std::nullopt;
  size_t length = 0;
  const char* end = header.data() + header.size();
  const auto [stop, error] = std::from_chars(header.data() + 2, end, length);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return length;
}

}  // namespace

BoxTalk::BoxTalk(Box box, size_t max_payload)
    : box_(std::move(box)), max_payload_(max_payload) {}

void BoxTalk::send(char kind, std::string_view payload) {
  std::string message = std::string(1, kind) + " " + std::to_string(payload.size());
  message += "\n";
  message += payload;
  box_.child().send(message);
}

std::optional<BoxMessage> BoxTalk::take_message() {
  if (broken_ || !box_.started()) return std::nullopt;
  std::string& output = box_.child().output();
  const auto header_end = output.find('\n');
  if (header_end == std::string::npos) {
    broken_ = output.size() > kMaxHeader;
    return std::nullopt;
  }
  const auto length = payload_length(std::string_view(output).substr(0, header_end));
  if (!length || *length > max_payload_) {
    broken_ = true;
    return std::nullopt;
  }
  if (output.size() < header_end + 1 + *length) return std::nullopt;
  BoxMessage message{output[0], output.substr(header_end + 1, *length)};
  output.erase(0, header_end + 1 + *length);
  return message;
}

std::optional<BoxMessage> BoxTalk::receive(BoxTalk* other) {
  const std::array children = {&box_.child(), other ? &other->box_.child() : nullptr};
  const std::span<Child* const> live(children.data(), other ? 2 : 1);
  for (;;) {
    if (auto message = take_message()) return message;
    if (over()) return std::nullopt;
    Child::pump(live, 1.0);
  }
}

}  // namespace pupil
