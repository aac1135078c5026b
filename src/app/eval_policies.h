// The policies that an evaluation examines: the base model and, on the same weights in
// memory, the base with an adapter.

#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "app/eval_folder.h"
#include "app/eval_plan.h"
#include "models/model.h"
#include "reward/reward.h"
#include "train/comparison.h"

namespace pupil {

class Progress;
class Teacher;

/// Owns the model and what scores its answers. Neither copied nor moved.
class EvalPolicies {
 public:
  /// Loads the model and its adapter. `plan` must outlive this. Throws
  /// std::invalid_argument for an adapter of another model, or a task that leaves no
  /// room for an answer.
  explicit EvalPolicies(const EvalPlan& plan);
  EvalPolicies(const EvalPolicies&) = delete;
  EvalPolicies& operator=(const EvalPolicies&) = delete;

  /// Samples and scores what `folder` does not have yet, policy by policy. The prompts'
  /// keys fix the random streams, so that the policies draw the same numbers. Throws
  /// Stopped if a signal asks for it; what was done is kept.
  std::vector<Examined> examine(EvalFolder& folder);

  /// Of the adapter's answers against the base's, the same row of each task, both
  /// orders. Throws as Teacher::judge does.
  JudgedPairs judge(const std::vector<Examined>& policies, EvalFolder& folder);

  /// The names of the reward functions.
  std::vector<std::string> reward_names() const;

 private:
  std::vector<RolloutGroup> groups() const;
  std::shared_ptr<Teacher> make_judge(EvalFolder& folder) const;
  Examined examine_one(
      const std::string& name, const Decoder& decoder, EvalFolder& folder);
  void sample(std::span<RolloutGroup> groups, Progress& progress);

  const EvalPlan& plan_;
  Model model_;  // with the decoder of the policy that is examined now
  std::vector<std::pair<std::string, Decoder>> policies_;  // share their arrays
  std::vector<std::vector<int>> prompts_;                  // [tasks] token ids
  std::shared_ptr<Teacher> teacher_;  // of the rewards; null: none of them asks it
  std::vector<RewardFunction> rewards_;
};

}  // namespace pupil
