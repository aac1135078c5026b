// Chat templates, and what in a rendered chat came from the messages.

#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/types.h"
#include "text/text_library.h"

namespace pupil {

/// A rendered chat. Special-token literals that share a byte with one of the `plain`
/// spans (or that have an empty one inside) came from a message and are no tokens.
struct RenderedChat {
  std::string text;
  std::vector<pt_span> plain;
};

/// A compiled chat template. Immutable; may be used from many threads.
class ChatTemplate {
 public:
  /// `variables` are seen by the template by name (bos_token, ...); `special` are the
  /// literals of the special tokens. Throws std::invalid_argument naming `where`.
  ChatTemplate(
      std::string where,
      const std::string& source,
      std::map<std::string, std::string> variables,
      std::vector<std::string> special);

  /// The rendered text. Throws std::invalid_argument with the template's line, also for
  /// a message that is not UTF-8.
  std::string text(std::span<const Message> messages, bool add_generation_prompt) const;

  /// The rendered text with its provenance.
  RenderedChat render(
      std::span<const Message> messages, bool add_generation_prompt) const;

 private:
  std::string where_;
  TemplateHandle handle_;
  std::map<std::string, std::string> variables_;
  std::vector<std::string> special_;
};

}  // namespace pupil
