// Learning from a file instead of from samples: its lines as the stages of a run.

#pragma once

#include "app/assemble.h"

namespace pupil {

/// Whether lines of a step may run in one pass.
inline bool packs_lessons(const Config& config) {
  return config.train.method == "sft" && config.data.packing;
}

/// How many lines `data.train` has to learn from. Throws as `lesson_stages` does on
/// another file.
size_t num_lessons(const Config& config);

/// Tokens of a line, prompt and answer, at most: `data.max_seq_length`, and no more
/// than the model has positions.
int longest_lesson(const Config& config, const Model& model);

/// Stages whose groups are the lines of `data.train` with their answers as rollouts:
/// good ones with reward 1, bad ones with -1. Nothing is sampled or scored. Prompts and
/// answers go through the chat template; without `data.mask_prompt` an imitated line is
/// its first token as the prompt and all others as the answer. Lines are cut at
/// `longest_lesson` tokens; a warning says how many the model's positions cut. Packed
/// lines of a step are one group, and the others stay without an answer.
/// Throws std::invalid_argument on a file that is not one of lessons, or whose prompts
/// the chat template does not leave as they were once they are answered.
Stages lesson_stages(const Config& config, const Model& model);

}  // namespace pupil
