// The published methods, one row each: presets of the loss and advantage settings. A
// method fills in what the user left unset (train/loss_settings.h) and has no code of
// its own. docs/methods.md is made from this table.

#pragma once

#include <array>
#include <string>
#include <string_view>

namespace pupil {

struct Method {
  std::string_view name;
  std::string_view loss_type;
  std::string_view importance_sampling_level;
  double beta;
  double epsilon;
  double epsilon_high;
  double delta;  // 0: none
  std::string_view baseline;
  std::string_view scale_rewards;
  std::string_view kl_estimator;
  bool kl_in_reward;
  bool use_bias_correction_kl;
  std::string_view source;
  std::string_view departure;  // of these settings from the paper; empty: none
};

/// Values as TRL's paper index or the paper gives them. beta 0 is TRL's default: GRPO's
/// own paper has 0.04, later work found no need of it. The KL is multiplied by the
/// ratio where TRL's loss is the method's.
// clang-format off
inline constexpr std::array kMethods = {
    Method{
        "grpo", "grpo", "token", 0, 0.2, 0.2, 0, "group", "group", "k3",
        false, true, "arXiv:2402.03300",
        "beta 0 instead of 0.04"},
    Method{
        "dr_grpo", "dr_grpo", "token", 0, 0.2, 0.2, 0, "group", "none", "k3",
        false, true, "arXiv:2503.20783", ""},
    Method{
        "dapo", "dapo", "token", 0, 0.2, 0.28, 0, "group", "group", "k3",
        false, true, "arXiv:2503.14476",
        "groups without spread are drawn again with rollout.dynamic_sampling only; no "
        "overlong penalty"},
    Method{
        "gspo", "grpo", "sequence", 0, 3e-4, 4e-4, 0, "group", "group", "k3",
        false, true, "arXiv:2507.18071", ""},
    Method{
        "luspo", "luspo", "sequence", 0, 2e-3, 2.5e-3, 0, "group", "group", "k3",
        false, true, "arXiv:2602.05261", ""},
    Method{
        "cispo", "cispo", "token", 0, 0.2, 5.0, 0, "group", "group", "k3",
        false, true, "arXiv:2506.13585",
        "epsilon_high is the whole cap of the ratio; 5 is of arXiv:2510.13786"},
    Method{
        "sapo", "sapo", "token", 0, 0.2, 0.2, 0, "group", "group", "k3",
        false, true, "arXiv:2511.20347", ""},
    Method{
        "vespo", "vespo", "token", 0, 0.2, 0.2, 0, "group", "group", "k3",
        false, true, "arXiv:2602.10693", ""},
    Method{
        "dual_clip", "grpo", "token", 0, 0.2, 0.2, 3.0, "group", "group", "k3",
        false, true, "arXiv:1912.09729",
        "the group's advantages instead of a critic's; delta caps the ratio for every "
        "advantage, which changes only the negative ones"},
    Method{
        "gmpo", "gmpo", "token", 0, 0.4, 0.4, 0, "group", "group", "k3",
        false, false, "arXiv:2507.20673", ""},
    Method{
        "clip_cov", "clip_cov", "token", 0, 0.2, 0.2, 0, "group", "group", "k3",
        false, false, "arXiv:2505.22617", ""},
    Method{
        "kl_cov", "kl_cov", "token", 0, 0.2, 0.2, 0, "group", "group", "k3",
        false, false, "arXiv:2505.22617",
        "the penalty is the log ratio's absolute value, as in the authors' code"},
    Method{
        "rloo", "grpo", "sequence_sum", 0.05, 0.2, 0.2, 0, "leave_one_out", "none", "k1",
        true, false, "arXiv:2402.14740",
        "where samples are used again the ratio of the completion is clipped, as in TRL"},
    Method{
        "opo", "luspo", "token", 0, 0.2, 0.2, 0, "length_weighted", "none", "k3",
        false, false, "arXiv:2505.23585",
        "clipped where samples are used again"},
    Method{
        "reinforce_pp", "dapo", "token", 0.01, 0.2, 0.2, 0, "none", "whiten", "k1",
        true, false, "arXiv:2501.03262",
        "the KL penalty of a completion is summed and put on all its tokens"},
    Method{
        "reinforce_pp_baseline", "dapo", "token", 0.01, 0.2, 0.2, 0, "group", "whiten",
        "k2",
        false, false, "arXiv:2501.03262", ""},
    Method{
        "reinforce", "reinforce", "token", 0, 0.2, 0.2, 0, "running", "none", "k3",
        false, false, "doi:10.1007/BF00992696",
        "the baseline is the mean of the prompt's earlier rewards"},
    Method{
        "plain", "reinforce", "token", 0.05, 0.2, 0.2, 0, "running", "whiten", "k3",
        false, false, "REINFORCE with a KL penalty",
        "-(log p A).mean() + beta KL over the tokens of the step; the KL is estimated "
        "from the sampled tokens instead of summed over the vocabulary"},
};
// clang-format on

/// Methods of given answers: `sft` imitates them, the others tell good from bad ones.
/// They have no baseline and no ratio.
struct AnswerMethod {
  std::string_view name;
  std::string_view from;
  double beta;
  std::string_view source;
  std::string_view departure;
};
// clang-format off
inline constexpr std::array kAnswerMethods = {
    AnswerMethod{"sft", "answers", 0, "", ""},
    AnswerMethod{"dpo", "pairs", 0.1, "arXiv:2305.18290", ""},
    AnswerMethod{
        "ipo", "pairs", 0.1, "arXiv:2310.12036",
        "log ratios are averaged over the tokens, as in TRL and by its authors' word"},
    AnswerMethod{"simpo", "pairs", 2.0, "arXiv:2405.14734", ""},
    AnswerMethod{"kto", "labelled answers", 0.1, "arXiv:2402.01306", ""},
    AnswerMethod{
        "online_dpo", "the best and the worst sample of a group", 0.1,
        "arXiv:2402.04792",
        "by the rewards of the run instead of a judge's choice of two"},
};
// clang-format on

/// What `train.method` may be, for config choices: the names of both tables.
inline constexpr std::string_view kTrainMethods =
    "grpo|dr_grpo|dapo|gspo|luspo|cispo|sapo|vespo|dual_clip|gmpo|clip_cov|kl_cov|rloo|"
    "opo|reinforce_pp|reinforce_pp_baseline|reinforce|plain|sft|dpo|ipo|simpo|kto|"
    "online_dpo";

/// Null if there is no such method.
constexpr const AnswerMethod* find_answer_method(std::string_view name) {
  for (const auto& method : kAnswerMethods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}
constexpr const Method* find_method(std::string_view name) {
  for (const auto& method : kMethods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

/// The reference of all methods, docs/methods.md.
std::string methods_markdown();

}  // namespace pupil
