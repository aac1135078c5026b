// The expectation over the probabilities of one digit.

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/json_depth.h"
#include "reward/judge_data.h"
#include "reward/judge_forms.h"

namespace pupil {

namespace {

using nlohmann::json;

// Servers write a token's leading blank as a blank or as one of these.
constexpr std::array<std::string_view, 5> kBlanks = {
    " ", "\n", "\t", "\xE2\x96\x81", "\xC4\xA0"};

std::string_view without_blanks(std::string_view token) {
  for (bool again = true; again;) {
    again = false;
    for (auto blank : kBlanks) {
      if (token.starts_with(blank)) {
        token.remove_prefix(blank.size());
        again = true;
      }
    }
  }
  while (token.ends_with(' ') || token.ends_with('\n')) token.remove_suffix(1);
  return token;
}

int digit_of(std::string_view token) {
  token = without_blanks(token);
  return token.size() == 1 && token[0] >= '0' && token[0] <= '9' ? token[0] - '0' : -1;
}

// Probabilities of the digits at one place; blank where the place itself is.
std::optional<std::array<double, 10>> digits_at(const json& place) {
  if (!place.is_object() || !place.contains("token") || !place["token"].is_string())
    return std::nullopt;
  if (without_blanks(place["token"].get_ref<const std::string&>()).empty())
    return std::nullopt;
  std::array<double, 10> mass{};
  if (!place.contains("top") || !place["top"].is_array()) return mass;
  for (const json& entry : place["top"]) {
    bool shaped = entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
                  entry[1].is_number();
    if (!shaped) continue;
    int digit = digit_of(entry[0].get_ref<const std::string&>());
    double logprob = entry[1].get<double>();
    if (digit >= 0 && logprob <= 0) mass[digit] += std::exp(logprob);
  }
  return mass;
}

Judgement expectation(const std::array<double, 10>& mass, double least_mass) {
  double all = 0, sum = 0;
  for (int digit = 0; digit < 10; ++digit) {
    all += mass[digit];
    sum += digit * mass[digit];
  }
  char text[80];
  std::snprintf(text, sizeof text, "%.3f of the probability is on digits", all);
  if (!(all > 0) || all < least_mass)
    return {std::nullopt, std::string("only ") + text};
  // Sums of rounded probabilities may pass the ends by a rounding error.
  double score = std::clamp(sum / (9 * all), 0.0, 1.0);
  return {score, text};
}

}  // namespace

ChatRequest digit_request(
    const Rubric& rubric,
    const Task& task,
    std::string_view answer,
    double temperature,
    int top_logprobs) {
  ChatRequest request;
  request.system =
      judge_instructions(rubric, "a student's answer") +
      "Give one digit from 0 (worthless) to 9 (perfect). An answer without working "
      "code gets 0. Reply with the digit and nothing else.";
  request.messages = {
      {"user",
       "The mark is " + std::string(kMarkSlot) + ".\n{" + task_json(task) +
           ",\"submission\":" + submission_json(answer) +
           "}\nGrade the submission between the marks: reply with one digit from 0 to "
           "9."}};
  request.temperature = temperature;
  request.max_tokens = 4;  // room for a blank before the digit
  request.top_logprobs = top_logprobs;
  return request;
}

Judgement read_digit(std::string_view text, double least_mass) {
  json places = json_or_discarded(text);
  if (!places.is_array() || places.empty()) {
    return {std::nullopt, "the server gave no log-probabilities"};
  }
  for (const json& place : places) {
    if (auto mass = digits_at(place)) return expectation(*mass, least_mass);
  }
  return {std::nullopt, "the reply is blank"};
}

std::string digit_text(const std::array<double, 10>& logprobs) {
  json top = json::array();
  size_t best = 0;
  for (size_t digit = 0; digit < 10; ++digit) {
    top.push_back({std::to_string(digit), logprobs[digit]});
    if (logprobs[digit] > logprobs[best]) best = digit;
  }
  return json::array({{{"token", std::to_string(best)}, {"top", top}}}).dump();
}

}  // namespace pupil
