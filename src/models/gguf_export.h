// Model directories to GGUF files that llama.cpp loads: `pupil convert --to FILE.gguf`
// and `pupil fuse --export-gguf FILE`.

#pragma once

#include <map>
#include <string>

#include "models/convert.h"

namespace pupil {

/// Tensors of each type, by GGUF's name for it.
using GgufExport = std::map<std::string, int>;

/// Throws std::invalid_argument "[gguf] path: ..." unless `path` ends with .gguf and is
/// free, or a regular file that may be replaced.
void check_gguf_target(const std::string& path, Existing existing);

/// Throws std::invalid_argument as `export_gguf` does for a model whose configuration
/// or tokenizer GGUF cannot hold: for those who have long work to do before they export
/// it.
void check_gguf_model(const std::string& model_dir);

/// Writes the model of `model_dir`, of family llama or qwen2. Vectors become F32; dense
/// matrices keep their type; packed ones become Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0 where
/// that holds their numbers exactly, else F16 (of modes other than affine BF16, which
/// is exact). The file appears complete or not at all. Throws std::invalid_argument for
/// a model that GGUF cannot hold, std::runtime_error when it cannot write.
GgufExport export_gguf(
    const std::string& model_dir, const std::string& path, Existing existing);

/// `convert_model` to a directory beside `options.to`, a .gguf file, which is exported
/// and removed.
GgufExport convert_to_gguf(ConvertOptions options, const ConvertProgress& progress);

}  // namespace pupil
