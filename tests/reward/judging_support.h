// What the tests of judging share: a look into the judge's questions.

#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "support/teacher_world.h"

namespace pupil::testing {

using nlohmann::json;

inline std::string user_text(const SeenRequest& request) {
  return json::parse(request.body)["messages"].back()["content"];
}

inline json data_of(const SeenRequest& request) {
  auto text = user_text(request);
  size_t begin = text.find('\n') + 1;
  return json::parse(text.substr(begin, text.rfind('\n') - begin));
}

// By value: a range-for over a part of a temporary would dangle.
inline json submissions_of(const SeenRequest& request) {
  return data_of(request)["submissions"];
}

inline std::string unmarked(const json& field) {
  auto text = field.get<std::string>();
  size_t first = text.find('\n') + 1;
  return text.substr(first, text.rfind('\n') - first);
}

// The number at the end of program(n).
inline int number_in(const std::string& text) {
  size_t at = text.find("x * 2 + ");
  return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + 8);
}

inline std::vector<std::string> programs(const std::vector<int>& numbers) {
  std::vector<std::string> texts;
  for (int number : numbers) texts.push_back(program(number));
  return texts;
}

inline std::vector<std::optional<double>> values(const std::vector<Score>& scores) {
  std::vector<std::optional<double>> out;
  for (const auto& score : scores) out.push_back(score.value);
  return out;
}

inline double metric(const Metrics& metrics, const std::string& name) {
  for (const auto& [key, value] : metrics) {
    if (key == "teacher/" + name) return value;
  }
  ADD_FAILURE() << "no metric " << name;
  return NAN;
}

}  // namespace pupil::testing
