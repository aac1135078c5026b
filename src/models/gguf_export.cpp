#include "models/gguf_export.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <span>
#include <stdexcept>

#include "base/quote.h"
#include "formats/gguf_blocks.h"
#include "formats/gguf_writer.h"
#include "models/gguf_items.h"
#include "models/gguf_names.h"
#include "models/model_source.h"
#include "text/gguf_vocabulary.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

constexpr int kGroup = 32;
constexpr float kLargestHalf = 65504;

[[noreturn]] void fail(const std::string& source, const std::string& what) {
  throw std::invalid_argument("[gguf] " + source + ": " + what);
}

std::vector<std::byte> bytes_of(mx::array array) {
  array = mx::contiguous(array);
  array.eval();
  std::vector<std::byte> bytes(array.nbytes());
  std::memcpy(bytes.data(), array.data<char>(), bytes.size());
  return bytes;
}

template <class T>
std::vector<T> values_of(const mx::array& array) {
  auto bytes = bytes_of(array);
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// The bits in float16, one for each 32 weights; nothing where that is not exact.
std::optional<std::vector<uint16_t>> exact_halves(const mx::array& array, int repeats) {
  auto half = mx::astype(array, mx::float16);
  bool is_exact =
      mx::array_equal(mx::astype(half, mx::float32), mx::astype(array, mx::float32))
          .item<bool>();
  if (!is_exact) return std::nullopt;
  return values_of<uint16_t>(mx::repeat(half, repeats, -1));
}

// A larger group is several blocks that share their scale.
std::optional<GgufBlocks> exact_blocks(const QuantizedWeight& weight) {
  if (weight.mode != QuantMode::affine || weight.group_size % kGroup != 0)
    return std::nullopt;
  auto scales = exact_halves(weight.scales, weight.group_size / kGroup);
  auto biases = exact_halves(*weight.biases, weight.group_size / kGroup);
  if (!scales || !biases) return std::nullopt;
  return gguf_blocks(
      {weight.bits, values_of<uint32_t>(weight.packed), *scales, *biases});
}

GgufBlocks dense_blocks(const mx::array& array) {
  if (array.ndim() == 1 || array.dtype() == mx::float32)
    return {GgufType::f32, bytes_of(mx::astype(array, mx::float32))};
  bool is_half = array.dtype() == mx::float16;
  return {is_half ? GgufType::f16 : GgufType::bf16, bytes_of(array)};
}

// Of affine weights that no type holds: rounded to float16 once.
mx::array as_half(QuantizedWeight weight, const std::string& name) {
  weight.scales = mx::astype(weight.scales, mx::float32);
  weight.biases = mx::astype(*weight.biases, mx::float32);
  auto dense = unpacked(weight);
  if (!(mx::max(mx::abs(dense)).item<float>() <= kLargestHalf))
    fail("tensor " + in_quotes(name), "has weights beyond float16");
  return mx::astype(dense, mx::float16);
}

GgufBlocks blocks_of(const SourceArray& array, const std::string& name) {
  const auto* weight = std::get_if<QuantizedWeight>(&array);
  if (!weight) return dense_blocks(std::get<mx::array>(array));
  if (auto blocks = exact_blocks(*weight)) return *blocks;
  bool is_affine = weight->mode == QuantMode::affine;
  return dense_blocks(is_affine ? as_half(*weight, name) : unpacked(*weight));
}

// Heads whose rows llama.cpp wants interleaved; 0: none.
int permuted_heads(const std::string& name, const DecoderConfig& decoder) {
  if (decoder.model_type != "llama") return 0;
  if (name.find(".q_proj.") != name.npos) return decoder.num_heads;
  if (name.find(".k_proj.") != name.npos) return decoder.num_kv_heads;
  return 0;
}

/// Tensors on their way into a file.
class Export {
 public:
  explicit Export(const std::string& path) : writer_(path) {}

  void add(const SourceTensor& tensor, const DecoderConfig& decoder) {
    auto name = gguf_name(tensor.name);
    if (!name) fail(tensor.name, "has no name in GGUF");
    auto blocks = blocks_of(tensor.load(), tensor.name);
    if (int heads = permuted_heads(tensor.name, decoder))
      blocks.bytes = permuted_rows(blocks.bytes, tensor.shape.front(), heads);
    put(*name, {tensor.shape.begin(), tensor.shape.end()}, blocks);
    if (tensor.shape.size() > 1) ++matrices_[blocks.type];
  }

  void add_factors(const std::vector<float>& factors) {
    auto bytes = std::as_bytes(std::span(factors));
    GgufBlocks blocks{GgufType::f32, {bytes.begin(), bytes.end()}};
    put("rope_freqs.weight", {static_cast<int64_t>(factors.size())}, blocks);
  }

  GgufExport finish(GgufItems items) {
    items.emplace_back("general.file_type", file_type());
    items.emplace_back("general.quantization_version", 2u);
    writer_.finish(items);
    return types_;
  }

 private:
  void put(
      const std::string& name, std::vector<int64_t> shape, const GgufBlocks& blocks) {
    writer_.add(name, std::move(shape), blocks.type, blocks.bytes);
    ++types_[gguf_type_name(blocks.type)];
  }

  // llama.cpp's number for what most matrices are, which it shows (llama_ftype).
  uint32_t file_type() const {
    auto most = std::max_element(
        matrices_.begin(), matrices_.end(), [](const auto& a, const auto& b) {
          return a.second < b.second;
        });
    switch (most->first) {
      case GgufType::q8_0:
        return 7;
      case GgufType::q5_0:
        return 8;
      case GgufType::q5_1:
        return 9;
      case GgufType::bf16:
        return 32;
      default:
        return static_cast<uint32_t>(most->first);  // F32, F16, Q4_0, Q4_1 are alike
    }
  }

  GgufWriter writer_;
  GgufExport types_;
  std::map<GgufType, int> matrices_;
};

/// A model directory of a family that GGUF holds, and the metadata of its file.
struct Exportable {
  ModelSource source;
  DecoderConfig decoder;
  GgufItems items;
};

Exportable open_exportable(const std::string& model_dir) {
  auto source = open_huggingface_source(model_dir);
  auto decoder = parse_model_config(source.config, model_dir).decoder;
  check_tensors(source.tensors, decoder, model_dir);
  auto items = gguf_model_items(source.config, decoder, model_dir);
  auto vocabulary =
      gguf_vocabulary(model_dir, decoder.vocab_size, read_eos_ids(model_dir));
  items.insert(items.end(), vocabulary.begin(), vocabulary.end());
  return {std::move(source), std::move(decoder), std::move(items)};
}

/// A directory that is gone at the end.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {
    fs::remove_all(path_);
  }
  ~ScratchDirectory() {
    std::error_code ignored;  // nothing is lost if a temporary directory stays
    fs::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

void check_gguf_target(const std::string& path, Existing existing) {
  if (!path.ends_with(".gguf")) fail(path, "expected a name that ends with .gguf");
  if (!fs::exists(fs::symlink_status(path))) return;
  if (!fs::is_regular_file(path)) fail(path, "exists and is no file");
  if (existing == Existing::refuse) fail(path, "exists; replace it with --force");
}

void check_gguf_model(const std::string& model_dir) {
  open_exportable(model_dir);
}

GgufExport export_gguf(
    const std::string& model_dir, const std::string& path, Existing existing) {
  check_gguf_target(path, existing);
  auto [source, decoder, items] = open_exportable(model_dir);
  Export file(path);
  for (auto& tensor : source.tensors) file.add(tensor, decoder);
  if (auto factors = gguf_rope_factors(source.config, decoder))
    file.add_factors(*factors);
  return file.finish(std::move(items));
}

GgufExport convert_to_gguf(ConvertOptions options, const ConvertProgress& progress) {
  auto path = options.to;
  auto existing = options.existing;
  check_gguf_target(path, existing);
  if (fs::is_directory(options.from)) check_gguf_model(options.from);
  auto folder = fs::path(path).parent_path();
  if (!folder.empty()) fs::create_directories(folder);
  ScratchDirectory scratch(path + ".model-" + std::to_string(::getpid()));
  options.to = scratch.path();
  options.existing = Existing::refuse;
  convert_model(options, progress);
  return export_gguf(scratch.path(), path, existing);
}

}  // namespace pupil
