// Files to learn from as they stand: answers to imitate, and answers that are better or
// worse than others. JSON Lines; mlx_lm.lora's and TRL's formats.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/types.h"

namespace pupil {

/// One line: a conversation and how it may go on.
struct Lesson {
  std::vector<Message> prompt;  // empty: `text` is all there is
  std::string text;             // plain text, without a chat template
  struct Answer {
    std::string content;  // of an assistant's message
    bool good = true;
  };
  std::vector<Answer> answers;
};

enum class LessonKind { imitate, pairs, labels };

/// The file's lines, at least one. A line is
///   imitate  {"messages": [...]}, the last of an assistant; {"prompt", "completion"};
///   or
///            {"text"}
///   pairs    {"prompt", "chosen", "rejected"}: the good answer first
///   labels   {"prompt", "completion", "label": true or false}
/// A prompt is a user's text or a list of messages; an answer is a text or a list that
/// ends with an assistant's message, whose others come after the prompt. Without
/// "prompt", pairs have it at the head of both lists. Other keys are ignored, but
/// "tools" and a message's "tool_calls" must be empty.
/// Throws std::invalid_argument that names the line and the key at fault.
std::vector<Lesson> load_lessons(const std::string& path, LessonKind kind);

}  // namespace pupil
