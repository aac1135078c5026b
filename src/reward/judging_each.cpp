// Modes rubric and expected: each answer for itself.

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "reward/judge_forms.h"
#include "reward/judge_plain.h"
#include "reward/judging.h"

namespace pupil {

namespace {

Judgement read_reply(const JudgeTerms& terms, const std::string& text) {
  if (terms.config.mode == "expected")
    return read_digit(text, terms.config.min_score_mass);
  return read_judgement(terms.rubric, text);
}

/// One answer, and where its replies stand: as it is, then without its talk.
struct Asked {
  size_t sample = 0;
  size_t whole = 0, plain = 0;  // number of replies
  std::string no_code = {};     // without its talk nothing is left: why that is worth 0
};

std::string score_text(double score) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", score);
  return text;
}

}  // namespace

Question graded_question(
    const JudgeTerms& terms, const Task& task, std::string_view answer, int64_t slot) {
  Question question;
  const auto& config = terms.config;
  bool expected = config.mode == "expected";
  question.request =
      expected
          ? digit_request(
                terms.rubric, task, answer, config.temperature, config.top_logprobs)
          : judge_request(terms.rubric, task, answer, terms.settings());
  question.versions = {kRubricVersion, kParserVersion, slot};
  question.check = [&terms, expected](const ChatReply& reply) {
    bool cut = !expected && reply.outcome == ChatOutcome::length;
    if (cut) return std::optional<std::string>("cut off at teacher.max_tokens");
    auto judgement = read_reply(terms, reply.text);
    return judgement.score ? std::nullopt : std::optional(judgement.reason);
  };
  return question;
}

Verdict read_graded(const JudgeTerms& terms, const ChatReply& reply) {
  if (!reply.error.empty()) return no_reply(reply);
  auto judgement = read_reply(terms, reply.text);
  return {{judgement.score, judgement.reason}, judgement.score ? "" : "malformed"};
}

Verdict no_reply(const ChatReply& reply) {
  static constexpr const char* kNames[] = {
      "malformed",
      "cut_off",
      "refused",
      "malformed",
      "busy",
      "unavailable",
      "rejected",
      "unauthorized",
      "out_of_quota",
      "over_budget",
      "down",
      "cancelled"};
  static_assert(std::size(kNames) == static_cast<size_t>(ChatOutcome::cancelled) + 1);
  return {
      {std::nullopt, "teacher: " + reply.error},
      kNames[static_cast<size_t>(reply.outcome)]};
}

Verdict least_verdict(const Verdict& whole, const Verdict& plain, JudgeCounts& counts) {
  if (!whole.score.value) return whole;
  if (!plain.score.value) return plain;
  if (*whole.score.value - *plain.score.value > kAlarmScore) ++counts.gaps;
  if (*whole.score.value <= *plain.score.value) return whole;
  Verdict out = plain;
  out.score.reason +=
      " (without its comments; with them " + score_text(*whole.score.value) + ")";
  return out;
}

Verdict mean_verdict(std::span<const Verdict> verdicts) {
  double sum = 0;
  size_t count = 0;
  const Verdict* first = nullptr;  // scored
  for (const auto& verdict : verdicts) {
    if (!verdict.score.value) continue;
    if (!first) first = &verdict;
    sum += *verdict.score.value;
    ++count;
  }
  if (!first) return verdicts.front();
  if (verdicts.size() == 1) return *first;
  return {
      {sum / static_cast<double>(count),
       "mean of " + std::to_string(count) + "; " + first->score.reason},
      ""};
}

JudgeWork judge_each(
    const JudgeTerms& terms,
    std::span<const OpenAnswer> answers,
    std::vector<Verdict>& verdicts,
    JudgeCounts& counts) {
  JudgeWork work;
  std::vector<Asked> all;
  auto ask = [&](const Task& task, std::string_view text, size_t& number) {
    for (int slot = 0; slot < terms.config.samples; ++slot, ++number)
      work.questions.push_back(graded_question(terms, task, text, slot));
  };
  for (const auto& [task, text, sample] : answers) {
    auto& asked = all.emplace_back(Asked{sample});
    ask(*task, text, asked.whole);
    if (!is_suspicious(text, task->language)) continue;
    ++counts.suspicious;
    auto plain = plain_code(text, task->language).code;
    asked.no_code = degenerate(plain, task->language).value_or("");
    if (asked.no_code.empty()) ask(*task, plain, asked.plain);
  }
  work.read = [&terms, &verdicts, &counts, all](std::span<const ChatReply> replies) {
    size_t at = 0;
    auto take = [&](size_t number) {
      std::vector<Verdict> read;
      for (size_t end = at + number; at < end; ++at)
        read.push_back(read_graded(terms, replies[at]));
      return mean_verdict(read);
    };
    for (const auto& asked : all) {
      Verdict& verdict = verdicts[asked.sample] = take(asked.whole);
      if (asked.plain > 0) verdict = least_verdict(verdict, take(asked.plain), counts);
      if (!asked.no_code.empty())
        verdict = least_verdict(verdict, {{0.0, asked.no_code}, ""}, counts);
    }
  };
  return work;
}

}  // namespace pupil
