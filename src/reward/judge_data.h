// How a student's answer is shown to a judge: as data that cannot become anything else.

#pragma once

#include <string>
#include <string_view>

#include "data/types.h"
#include "reward/chat_api.h"

namespace pupil {

/// Stands in a request wherever its mark will stand. JSON writes the byte 1 as \u0001,
/// so that no text of a student or a task can hold it.
inline constexpr std::string_view kMarkSlot = "\x01mark\x01";

/// `request` with every slot filled by one mark that its texts do not hold: 128 random
/// bits of the system's, in hexadecimal.
ChatRequest with_random_mark(const ChatRequest& request);

/// The same with 64 bits that follow from `secret`: for a judge whose reply must follow
/// from the question.
ChatRequest with_fixed_mark(const ChatRequest& request, std::string_view secret);

/// `answer` as a JSON string, between two slots on lines of their own. Bytes that are
/// no UTF-8 become U+FFFD; characters that do not show, or that turn the order of
/// others (zero width, bidirectional), are spelt out as \uXXXX.
std::string submission_json(std::string_view answer);

/// The members of a JSON object that say what was asked: task, language, entry point.
std::string task_json(const Task& task);

/// Whether some characters of `text` do not show, or turn the order of others.
bool holds_hidden(std::string_view text);

}  // namespace pupil
