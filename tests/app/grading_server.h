// What a scripted teacher answers `pupil train`.

#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "support/teacher_world.h"

namespace pupil::testing {

/// The question's data without its marks, which are new each time.
inline std::string unmarked(const SeenRequest& request) {
  std::string text =
      nlohmann::json::parse(request.body).at("messages").back().at("content");
  size_t first = text.find('\n') + 1;
  auto data = nlohmann::json::parse(text.substr(first, text.find('\n', first) - first));
  auto answer = data.at("submission").get<std::string>();
  size_t mark = answer.find('\n');
  return data.at("task").dump() + answer.substr(mark, answer.size() - 2 * mark);
}

/// The same grade for the same answer, in any order of asking.
inline ScriptedReply judged(const SeenRequest& request) {
  if (request.body.find("ready") != std::string::npos &&
      request.body.find("submission") == std::string::npos) {
    return openai_reply("ready");
  }
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : unmarked(request)) {
    hash = (hash ^ c) * 0x100000001b3;
  }
  return openai_reply(grades(static_cast<int>((hash >> 8) % 11)));
}

}  // namespace pupil::testing
