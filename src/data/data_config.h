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
  }
};

}  // namespace pupil
