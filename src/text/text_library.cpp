#include "text/text_library.h"

#include <stdexcept>

namespace pupil {

void check_text(pt_status status, const std::string& where) {
  switch (status) {
    case PT_OK:
      return;
    case PT_INVALID:
      throw std::invalid_argument(where + ": " + pt_last_error());
    case PT_BUG:
      throw std::runtime_error(where + ": the text library failed: " + pt_last_error());
  }
}

std::vector<int> encode_text(
    const pt_tokenizer* tokenizer,
    std::string_view text,
    const std::vector<pt_span>& plain) {
  uint32_t* ids = nullptr;
  size_t count = 0;
  check_text(
      pt_encode(
          tokenizer,
          text.data(),
          text.size(),
          plain.data(),
          plain.size(),
          &ids,
          &count),
      "[tokenizer] text");
  std::vector<int> copy(ids, ids + count);
  pt_free_ids(ids, count);
  return copy;
}

}  // namespace pupil
