// Mode pairwise: answers of a group against each other, each pair in both orders.

#include <cstdio>
#include <map>

#include "reward/judge_forms.h"
#include "reward/judge_plain.h"
#include "reward/judging.h"

namespace pupil {

namespace {

/// Different texts of a group, each by its first sample.
using Texts = std::map<std::string_view, std::vector<size_t>>;

Texts texts_of(std::span<const OpenAnswer> group) {
  Texts texts;
  for (const auto& answer : group) texts[answer.text].push_back(answer.sample);
  return texts;
}

// What is shown: an answer that talks to the judge without its talk.
std::string shown(std::string_view text, const Task& task, JudgeCounts& counts) {
  if (!is_suspicious(text, task.language)) return std::string(text);
  ++counts.suspicious;
  return plain_code(text, task.language).code;
}

Question question_of(
    const JudgeTerms& terms,
    const Task& task,
    std::string_view a,
    std::string_view b,
    int64_t slot) {
  Question question;
  question.request = pair_request(terms.rubric, task, a, b, terms.settings());
  question.versions = {kRubricVersion, kParserVersion, slot};
  question.check = [](const ChatReply& reply) -> std::optional<std::string> {
    if (reply.outcome == ChatOutcome::length) return "cut off at teacher.max_tokens";
    auto judgement = read_pair(reply.text);
    if (!judgement.score) return judgement.reason;
    return std::nullopt;
  };
  return question;
}

// The first's score from the replies in both orders.
Verdict outcome_of(const ChatReply& forth, const ChatReply& back) {
  for (const auto* reply : {&forth, &back}) {
    if (!reply->error.empty()) return no_reply(*reply);
  }
  auto one = read_pair(forth.text), two = read_pair(back.text);
  if (!one.score || !two.score) return {{std::nullopt, one.reason}, "malformed"};
  bool agree = *one.score == 1 - *two.score;
  return {
      {agree ? *one.score : 0.5,
       agree ? one.reason : "the two orders disagree: " + one.reason},
      ""};
}

/// Sums of what one answer won, and of how many comparisons.
struct Tally {
  double won = 0, compared = 0;
  void add(double score, size_t times) {
    won += score * static_cast<double>(times);
    compared += static_cast<double>(times);
  }
};

Verdict verdict_of(const Tally& tally, const std::string& trouble) {
  if (tally.compared == 0) {
    bool alone = trouble.empty();
    return {
        {std::nullopt, alone ? "no other answer to compare it with" : trouble},
        alone ? "alone" : "no_comparison"};
  }
  char text[64];
  std::snprintf(
      text, sizeof text, "won %g of %g, ties half", tally.won, tally.compared);
  return {{tally.won / tally.compared, text}, ""};
}

void score_group(
    std::span<const OpenAnswer> group,
    size_t num_degenerate,
    std::span<const Comparison> comparisons,
    std::vector<Verdict>& verdicts) {
  auto texts = texts_of(group);
  std::map<size_t, size_t> times;  // by the first sample of a text
  for (const auto& [text, samples] : texts) times[samples[0]] = samples.size();
  std::map<size_t, Tally> tallies;
  std::map<size_t, std::string> troubles;
  for (const auto& [first, second, score, reason] : comparisons) {
    if (!times.contains(first)) continue;  // of another group
    if (!score) troubles[first] = troubles[second] = reason;
    if (!score) continue;
    tallies[first].add(*score, times.at(second));
    tallies[second].add(1 - *score, times.at(first));
  }
  for (const auto& [text, samples] : texts) {
    auto& tally = tallies[samples[0]];
    tally.add(0.5, samples.size() - 1);
    tally.add(1, num_degenerate);
    for (size_t sample : samples)
      verdicts[sample] = verdict_of(tally, troubles[samples[0]]);
  }
}

}  // namespace

JudgeWork judge_pairs(
    const JudgeTerms& terms,
    std::span<const OpenAnswer> group,
    std::vector<Comparison>& comparisons,
    JudgeCounts& counts) {
  const Task& task = *group[0].task;
  JudgeWork work;
  std::vector<std::string> texts;
  std::vector<size_t> samples;
  for (const auto& [text, of_text] : texts_of(group)) {
    texts.push_back(shown(text, task, counts));
    samples.push_back(of_text[0]);
  }
  auto pairs = tournament(texts.size(), static_cast<size_t>(terms.config.max_pairs));
  for (auto [i, j] : pairs) {
    for (int slot = 0; slot < terms.config.samples; ++slot) {
      work.questions.push_back(question_of(terms, task, texts[i], texts[j], slot));
      work.questions.push_back(question_of(terms, task, texts[j], texts[i], slot));
    }
  }
  size_t each = static_cast<size_t>(terms.config.samples);
  work.read = [=, &comparisons](std::span<const ChatReply> replies) {
    for (size_t p = 0; p < pairs.size(); ++p) {
      std::vector<Verdict> outcomes;
      for (size_t slot = 0; slot < each; ++slot) {
        size_t at = 2 * (p * each + slot);
        outcomes.push_back(outcome_of(replies[at], replies[at + 1]));
      }
      auto [score, reason] = mean_verdict(outcomes).score;
      auto [i, j] = pairs[p];
      comparisons.push_back({samples[i], samples[j], score, reason});
    }
  };
  return work;
}

void score_pairs(
    std::span<const Sample> samples,
    std::span<const OpenAnswer> open,
    std::span<const Comparison> comparisons,
    std::vector<Verdict>& verdicts) {
  size_t at = 0;  // of `open`
  for (size_t begin = 0; begin < samples.size();) {
    size_t end = begin, first = at;
    while (end < samples.size() && samples[end].task == samples[begin].task) ++end;
    while (at < open.size() && open[at].sample < end) ++at;
    auto group = open.subspan(first, at - first);
    score_group(group, end - begin - group.size(), comparisons, verdicts);
    begin = end;
  }
}

}  // namespace pupil
