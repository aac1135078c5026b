// The Rust library's C interface as C++: owned handles, strings, exceptions.

#pragma once

#include <pupil_text.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pupil {

struct TextLibraryFree {
  void operator()(pt_tokenizer* tokenizer) const { pt_tokenizer_free(tokenizer); }
  void operator()(pt_template* chat_template) const { pt_template_free(chat_template); }
};
using TokenizerHandle = std::unique_ptr<pt_tokenizer, TextLibraryFree>;
using TemplateHandle = std::unique_ptr<pt_template, TextLibraryFree>;

/// Nothing on PT_OK. Else throws "`where`: " and this thread's last error:
/// std::invalid_argument where the input is at fault, std::runtime_error where a
/// library gave up.
void check_text(pt_status status, const std::string& where);

/// The text of a call that hands over text: `call(char** text, size_t* len)`.
template <class Call>
std::string text_of(const std::string& where, Call&& call) {
  char* text = nullptr;
  size_t len = 0;
  check_text(call(&text, &len), where);
  std::string copy(text, len);
  pt_free_text(text, len);
  return copy;
}

/// Ids of `text` by pt_encode. Throws as check_text.
std::vector<int> encode_text(
    const pt_tokenizer* tokenizer,
    std::string_view text,
    const std::vector<pt_span>& plain);

}  // namespace pupil
