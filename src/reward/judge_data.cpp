#include "reward/judge_data.h"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

#include "base/sha256.h"

namespace pupil {

namespace {

using nlohmann::json;

struct Hidden {
  std::string_view bytes;  // in UTF-8
  const char* escape;      // in JSON
};

// What a reader does not see, or sees in another order than it stands.
constexpr std::array kHidden = {
    Hidden{"\xC2\xAD", "\\u00ad"},     Hidden{"\xD8\x9C", "\\u061c"},
    Hidden{"\xE1\xA0\x8E", "\\u180e"}, Hidden{"\xE2\x80\x8B", "\\u200b"},
    Hidden{"\xE2\x80\x8C", "\\u200c"}, Hidden{"\xE2\x80\x8D", "\\u200d"},
    Hidden{"\xE2\x80\x8E", "\\u200e"}, Hidden{"\xE2\x80\x8F", "\\u200f"},
    Hidden{"\xE2\x80\xA8", "\\u2028"}, Hidden{"\xE2\x80\xA9", "\\u2029"},
    Hidden{"\xE2\x80\xAA", "\\u202a"}, Hidden{"\xE2\x80\xAB", "\\u202b"},
    Hidden{"\xE2\x80\xAC", "\\u202c"}, Hidden{"\xE2\x80\xAD", "\\u202d"},
    Hidden{"\xE2\x80\xAE", "\\u202e"}, Hidden{"\xE2\x81\xA0", "\\u2060"},
    Hidden{"\xE2\x81\xA6", "\\u2066"}, Hidden{"\xE2\x81\xA7", "\\u2067"},
    Hidden{"\xE2\x81\xA8", "\\u2068"}, Hidden{"\xE2\x81\xA9", "\\u2069"},
    Hidden{"\xEF\xBB\xBF", "\\ufeff"},
};

const Hidden* hidden_at(std::string_view text, size_t at) {
  if (static_cast<unsigned char>(text[at]) < 0xC2) return nullptr;
  for (const auto& hidden : kHidden) {
    if (text.substr(at).starts_with(hidden.bytes)) return &hidden;
  }
  return nullptr;
}

// Still the same JSON text: each such character gets its longer spelling.
std::string spell_out_hidden(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Hidden* hit = hidden_at(text, at);
    out += hit ? std::string(hit->escape) : text.substr(at, 1);
    at += hit ? hit->bytes.size() : 1;
  }
  return out;
}

std::string json_string(std::string_view text) {
  return spell_out_hidden(
      json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace));
}

std::string filled(std::string text, std::string_view mark) {
  for (size_t at = 0; (at = text.find(kMarkSlot, at)) != std::string::npos;) {
    text.replace(at, kMarkSlot.size(), mark);
    at += mark.size();
  }
  return text;
}

bool holds(const ChatRequest& request, const std::string& mark) {
  if (request.system.find(mark) != std::string::npos) return true;
  for (const auto& message : request.messages) {
    if (message.content.find(mark) != std::string::npos) return true;
  }
  return false;
}

// The first of mark(0), mark(1), ... that the request does not hold.
template <class Mark>
ChatRequest with_mark(ChatRequest request, Mark&& mark_of) {
  std::string mark;
  for (int64_t round = 0; mark.empty() || holds(request, mark); ++round)
    mark = mark_of(round);
  request.system = filled(std::move(request.system), mark);
  for (auto& message : request.messages)
    message.content = filled(std::move(message.content), mark);
  return request;
}

}  // namespace

ChatRequest with_random_mark(const ChatRequest& request) {
  return with_mark(request, [](int64_t) {
    std::random_device source;
    std::string mark;
    for (int word = 0; word < 4; ++word) {
      char digits[9];
      std::snprintf(digits, sizeof digits, "%08x", source() & 0xFFFFFFFFu);
      mark += digits;
    }
    return mark;
  });
}

ChatRequest with_fixed_mark(const ChatRequest& request, std::string_view secret) {
  return with_mark(request, [&](int64_t round) {
    Sha256 hash;
    hash.field("mark").field(secret).field(round);
    return hash.hex().substr(0, 16);
  });
}

std::string submission_json(std::string_view answer) {
  std::string inside = json_string(answer);
  std::string slot(kMarkSlot);
  return "\"" + slot + "\\n" + inside.substr(1, inside.size() - 2) + "\\n" + slot +
         "\"";
}

std::string task_json(const Task& task) {
  std::string out = "\"task\":" + json_string(task.prompt) +
                    ",\"language\":" + json_string(task.language);
  if (!task.entry_point.empty())
    out += ",\"entry_point\":" + json_string(task.entry_point);
  return out;
}

bool holds_hidden(std::string_view text) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (hidden_at(text, at)) return true;
  }
  return false;
}

}  // namespace pupil
