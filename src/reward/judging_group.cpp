// Mode group: all answers of a group in one request.

#include <map>

#include "base/random.h"
#include "base/sha256.h"
#include "reward/judge_forms.h"
#include "reward/judge_plain.h"
#include "reward/judging.h"

namespace pupil {

namespace {

/// The different answers of a group, each with the samples that gave it. Sorted, so
/// that the same answers are the same question however they came.
struct Distinct {
  std::string text;  // as it is shown
  bool suspicious = false;
  std::vector<size_t> samples;
};

std::vector<Distinct> distinct(std::span<const OpenAnswer> group) {
  std::map<std::string_view, std::vector<size_t>> by_text;
  for (const auto& answer : group) by_text[answer.text].push_back(answer.sample);
  std::vector<Distinct> out;
  for (auto& [text, samples] : by_text) {
    bool suspicious = is_suspicious(text, group[0].task->language);
    out.push_back({std::string(text), suspicious, std::move(samples)});
  }
  return out;
}

uint64_t seed_of(const Task& task, std::span<const Distinct> answers, int64_t slot) {
  Sha256 hash;
  hash.field("shuffle").field(task.prompt).field(slot);
  for (const auto& answer : answers) hash.field(answer.text);
  return std::stoull(hash.hex().substr(0, 16), nullptr, 16);
}

/// One request over all answers in an order of its own.
struct Sheet {
  Question question;
  std::vector<size_t> order;  // place -> answer
};

Sheet sheet_of(
    const JudgeTerms& terms,
    const Task& task,
    std::span<const Distinct> answers,
    int64_t slot) {
  Sheet sheet;
  sheet.order = shuffled(answers.size(), seed_of(task, answers, slot));
  std::vector<std::string_view> texts;
  for (size_t answer : sheet.order) texts.push_back(answers[answer].text);
  sheet.question.request = group_request(terms.rubric, task, texts, terms.settings());
  sheet.question.versions = {kRubricVersion, kParserVersion, slot};
  sheet.question.check = [&terms, count = texts.size()](
                             const ChatReply& reply) -> std::optional<std::string> {
    if (reply.outcome == ChatOutcome::length) return "cut off at teacher.max_tokens";
    auto judgement = read_group(terms.rubric, reply.text, count);
    if (judgement.answers.empty()) return judgement.error;
    return std::nullopt;
  };
  return sheet;
}

// The verdict of each answer, by its index.
std::vector<Verdict> read_sheet(
    const JudgeTerms& terms, const Sheet& sheet, const ChatReply& reply) {
  std::vector<Verdict> out(sheet.order.size(), no_reply(reply));
  if (!reply.error.empty()) return out;
  auto judgement = read_group(terms.rubric, reply.text, sheet.order.size());
  for (size_t place = 0; place < judgement.answers.size(); ++place) {
    auto& [score, reason] = judgement.answers[place];
    out[sheet.order[place]] = {{score, reason}, ""};
  }
  return out;
}

// Element i: the mean of answer i over some sheets.
std::vector<Verdict> means(
    const JudgeTerms& terms,
    std::span<const Sheet> sheets,
    std::span<const ChatReply> replies) {
  std::vector<std::vector<Verdict>> all;
  for (size_t s = 0; s < sheets.size(); ++s)
    all.push_back(read_sheet(terms, sheets[s], replies[s]));
  std::vector<Verdict> out;
  for (size_t i = 0; i < all.at(0).size(); ++i) {
    std::vector<Verdict> of_answer;
    for (const auto& sheet : all) of_answer.push_back(sheet[i]);
    out.push_back(mean_verdict(of_answer));
  }
  return out;
}

// The same answers, those that talk to the judge without their talk; none if nobody
// does.
std::vector<Distinct> silenced(std::vector<Distinct> answers, const Task& task) {
  bool any = false;
  for (auto& answer : answers) {
    if (!answer.suspicious) continue;
    any = true;
    answer.text = plain_code(answer.text, task.language).code;
  }
  return any ? answers : std::vector<Distinct>();
}

}  // namespace

JudgeWork judge_group(
    const JudgeTerms& terms,
    std::span<const OpenAnswer> group,
    std::vector<Verdict>& verdicts,
    JudgeCounts& counts) {
  const Task& task = *group[0].task;
  auto answers = distinct(group);
  for (const auto& answer : answers) {
    if (answer.suspicious)
      counts.suspicious += static_cast<int64_t>(answer.samples.size());
  }
  // Who talks to the judge may talk about the others too: then the second look, in
  // which nobody talks, counts for everybody, and the least of both for the talkers.
  auto quiet = silenced(answers, task);
  JudgeWork work;
  std::vector<Sheet> first, second;
  for (int slot = 0; slot < terms.config.samples; ++slot) {
    first.push_back(sheet_of(terms, task, answers, slot));
    if (!quiet.empty()) second.push_back(sheet_of(terms, task, quiet, slot));
  }
  for (const auto* sheets : {&first, &second}) {
    for (const auto& sheet : *sheets) work.questions.push_back(sheet.question);
  }
  work.read = [=, &terms, &verdicts, &counts](std::span<const ChatReply> replies) {
    auto looks = means(terms, first, replies.first(first.size()));
    std::vector<Verdict> again;
    if (!second.empty()) again = means(terms, second, replies.subspan(first.size()));
    for (size_t i = 0; i < answers.size(); ++i) {
      Verdict verdict = looks[i];
      if (!again.empty())
        verdict = answers[i].suspicious ? least_verdict(looks[i], again[i], counts)
                                        : again[i];
      for (size_t sample : answers[i].samples) verdicts[sample] = verdict;
    }
  };
  return work;
}

}  // namespace pupil
