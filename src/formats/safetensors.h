// Strict check of a safetensors file's header, to be made before any library reads the
// tensors: a file that passes cannot make a reader look outside the file, at the same
// bytes twice, or at a shape that overflows. Stricter than the reference reader in its
// bounds on rank, dimensions and number of tensors.
// Format: https://github.com/huggingface/safetensors#format

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pupil {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;           // as the file spells it: "F16", "BF16", "U32", ...
  std::vector<int64_t> shape;  // at most 8 dimensions, each from 0 to 2^31 - 1
  uint64_t begin, end;         // bytes, from SafetensorsHeader::data_begin
};

struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;       // in the order of their data
  std::map<std::string, std::string> metadata;  // "__metadata__"
  uint64_t data_begin;  // byte of the file where the data starts
};

/// Reads and checks the header of the file at `path`: header of at most 100 MB, UTF-8,
/// no duplicate or unknown keys, known dtypes, at most 100 000 tensors whose data lie
/// one after the other, without holes, from the header's end to the file's end.
/// Throws std::invalid_argument "[safetensors] path: what, expected X, got Y".
SafetensorsHeader read_safetensors_header(const std::string& path);

}  // namespace pupil
