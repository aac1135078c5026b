#include "text/gguf_pretokenizers.h"

namespace pupil {

using nlohmann::json;

json byte_level_json(bool add_prefix_space, bool trim_offsets, bool use_regex) {
  return {
      {"type", "ByteLevel"},
      {"add_prefix_space", add_prefix_space},
      {"trim_offsets", trim_offsets},
      {"use_regex", use_regex}};
}

json gguf_pre_tokenizer(const GgufPretokenizer& row) {
  json gpt2 = byte_level_json(false, true, row.split == nullptr);
  json first;
  if (row.digits) {
    first = {{"type", "Digits"}, {"individual_digits", true}};
  } else if (row.split) {
    first = {
        {"type", "Split"},
        {"pattern", {{"Regex", row.split}}},
        {"behavior", "Isolated"},
        {"invert", false}};
  } else {
    return gpt2;
  }
  return {{"type", "Sequence"}, {"pretokenizers", {first, gpt2}}};
}

}  // namespace pupil
