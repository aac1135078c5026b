// What graders have in common: how a failure is told, and whose fault it is.

#pragma once

#include <optional>
#include <string>

#include "reward/box_talk.h"
#include "reward/grading.h"

namespace pupil {

inline constexpr size_t kHeaderRoom = 4 << 10;  // of a message beside its value

/// Without control characters, and cut between two UTF-8 characters.
std::string one_line(const std::string& text);

/// "ZeroDivisionError\ndivision by zero" as a reader wants it.
std::string error_text(const std::string& payload);

/// Notes the first thing that failed.
void fail(Grade& grade, const std::string& what);

/// How a reply differs from a plain value; "" if it is one. Notes the class of the end.
std::string failure_of(
    const std::optional<BoxMessage>& reply, BoxTalk& student, Grade& grade);

/// True, with the trouble noted, if the student's box never started.
bool blames_box(BoxTalk& student, Grade& grade);

/// Hands the checker's calls to the student and the replies back, until the verdict.
std::optional<BoxMessage> relay_until_verdict(BoxTalk& checker, BoxTalk& student);

/// The checker ended without a verdict: trouble of ours, unless the student's box or
/// the student's slowness is why.
void note_checker_end(BoxTalk& checker, BoxTalk& student, Grade& grade);

}  // namespace pupil
