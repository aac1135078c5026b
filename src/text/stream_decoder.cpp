#include "text/tokenizer.h"

namespace pupil {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

// Bytes that are not yet a whole character decode to one U+FFFD at the end. All before
// it is final, so the last U+FFFD is held back until the next token shows what it was.
std::string StreamDecoder::push(int id) {
  ids_.push_back(id);
  auto text = tokenizer_.decode(ids_);
  bool whole = !text.ends_with(kReplacement);
  auto end = whole ? text.size() : text.size() - kReplacement.size();
  if (end < shown_) return "";
  auto piece = text.substr(shown_, end - shown_);
  shown_ = end;
  if (whole) {  // one token of context is enough from here on
    ids_ = {id};
    shown_ = tokenizer_.decode(ids_).size();
  }
  return piece;
}

std::string StreamDecoder::finish() {
  auto text = tokenizer_.decode(ids_);
  auto rest = text.size() > shown_ ? text.substr(shown_) : "";
  ids_.clear();
  shown_ = 0;
  return rest;
}

}  // namespace pupil
