// Messages to and from a grader program in a box (grader_programs.h).

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "reward/sandbox.h"

namespace pupil {

struct BoxMessage {
  char kind;
  std::string payload;
};

/// A conversation with one box. What comes from the box is hostile: a message that is
/// broken or larger than `max_payload` ends the conversation.
class BoxTalk {
 public:
  BoxTalk(Box box, size_t max_payload);

  void send(char kind, std::string_view payload);
  /// The next message, waited for; none once the box has ended or talks nonsense.
  /// `other`, if given, is kept going meanwhile.
  std::optional<BoxMessage> receive(BoxTalk* other = nullptr);
  bool over() { return broken_ || box_.child().finished(); }
  Box& box() { return box_; }

 private:
  std::optional<BoxMessage> take_message();

  Box box_;
  size_t max_payload_;
  bool broken_ = false;
};

}  // namespace pupil
