#pragma once

#include <optional>
#include <string>

#include "base/fields.h"

namespace pupil {

struct DataConfig {
  std::string train = "tasks.jsonl";
  std::optional<std::string> eval;
  bool shuffle = true;
  std::string curriculum = "none";
  std::optional<int> limit;
  bool mask_prompt = false;
  bool packing = false;
  int max_seq_length = 2048;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("train", self.train, "tasks to learn from, JSON Lines");
    f("eval", self.eval, "held-out tasks, evaluated before and after training");
    f("shuffle", self.shuffle, "draw tasks in a seeded random order, anew each epoch");
    f("curriculum",
      self.curriculum,
      "draw by measured pass rate: from easy to hard, or mostly those that are passed "
      "half the time",
      Choices{"none|easy_first|uncertain"});
    f("limit", self.limit, "use only the first N tasks", kAtLeastOne);
    f("mask_prompt",
      self.mask_prompt,
      "sft: learn the last message only, not what comes before it");
    f("packing",
      self.packing,
      "sft: lines of a step with the same masked beginning run in one pass, unseen by "
      "each other");
    f("max_seq_length",
      self.max_seq_length,
      "lines of a file to learn from are cut there, in tokens",
      Range{2});
  }
};

}  // namespace pupil
