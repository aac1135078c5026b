#include <algorithm>
#include <cstdio>

#include "text/tokenizer.h"

namespace pupil {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  for (int byte = 0; byte < 256; ++byte) {
    char token[8];
    std::snprintf(token, sizeof token, "<0x%02X>", byte);
    byte_ids_.insert(tokenizer.token_id(token));
  }
}

// A token without text neither ends a run of bytes nor serves as the context of what
// follows. Of other tokens, bytes that are not yet a whole character decode to one
// U+FFFD at the end: all before it is final.
std::string StreamDecoder::push(int id) {
  ids_.push_back(id);
  auto alone = tokenizer_.decode(std::span(&id, 1));
  if (alone.empty() || byte_ids_.contains(id)) return "";
  auto text = tokenizer_.decode(ids_);
  bool whole = !text.ends_with(kReplacement);
  auto end = whole ? text.size() : text.size() - kReplacement.size();
  auto piece = end > shown_ ? text.substr(shown_, end - shown_) : "";
  shown_ = std::max(shown_, end);
  if (whole) {  // one token of context is enough from here on
    ids_ = {id};
    shown_ = alone.size();
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
