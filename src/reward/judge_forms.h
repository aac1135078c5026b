// Three more forms of judging: all answers of a group in one request, one answer
// against another, and the expectation over the probabilities of one digit. Pure
// functions; what they take and give is explained in judge.h.

#pragma once

#include <array>
#include <span>

#include "reward/judge.h"

namespace pupil {

/// The request that has several different answers graded side by side, named 1, 2, ...
/// in the order given.
ChatRequest group_request(
    const Rubric& rubric,
    const Task& task,
    std::span<const std::string_view> answers,
    const JudgeSettings& settings);

struct GroupJudgement {
  std::vector<Judgement> answers;  // in the order asked; empty: no valid reply
  std::string error;
};

/// Reads {"answers": [{"answer": n, "reason": ..., criteria ...}, ...]}: one object for
/// each of 1 to `count`, in any order, or nothing.
GroupJudgement read_group(const Rubric& rubric, std::string_view text, size_t count);

/// The request that asks which of two answers is better, `a` or `b`.
ChatRequest pair_request(
    const Rubric& rubric,
    const Task& task,
    std::string_view a,
    std::string_view b,
    const JudgeSettings& settings);

/// Reads {"reason": ..., "better": "a" | "b" | "tie"}: the score is a's, 1, 0 or 0.5.
Judgement read_pair(std::string_view text);

/// At most `most` pairs of `count` answers, each pair once and every answer in about
/// as many: the first rounds of a round-robin tournament (circle method).
std::vector<std::pair<size_t, size_t>> tournament(size_t count, size_t most);

/// The request for one digit from 0 to 9 with the probabilities of its first token
/// (arXiv:2309.00267, section 2.2.2, with digits in place of 1 to 10: "10" would begin
/// like "1").
ChatRequest digit_request(
    const Rubric& rubric,
    const Task& task,
    std::string_view answer,
    double temperature,
    int top_logprobs);

/// sum_d d p(d) / (9 sum_d p(d)) over the digits among the tokens of the first place
/// that is not blank; no score where the digits hold less than `least_mass` of all
/// probability. `text`: [{"token": t, "top": [[token, logprob], ...]}, ...], as
/// ChatReply::logprobs has it. Total.
Judgement read_digit(std::string_view text, double least_mass);

/// Log-probabilities of the ten digits as such a text.
std::string digit_text(const std::array<double, 10>& logprobs);

}  // namespace pupil
