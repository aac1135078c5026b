// A GGUF file of the Llama or Qwen2 family, as a source for conversion.

#include <array>
#include <memory>
#include <optional>
#include <span>

#include "base/quote.h"
#include "formats/gguf.h"
#include "formats/gguf_blocks.h"
#include "formats/gguf_superblocks.h"
#include "models/gguf_config.h"
#include "models/gguf_names.h"
#include "models/model_source.h"
#include "text/gguf_tokenizer.h"

namespace pupil {
namespace {

constexpr int kGroup = 32;

mx::Shape shape_of(const GgufTensor& tensor) {
  return mx::Shape(tensor.shape.begin(), tensor.shape.end());
}

// An array that owns a copy of the T's at `bytes`.
template <class T>
mx::array array_of(const void* bytes, const mx::Shape& shape) {
  return mx::array(static_cast<const T*>(bytes), shape, mx::TypeToDtype<T>());
}

QuantizedWeight quantized_array(
    const GgufTensor& tensor, std::span<const std::byte> bytes) {
  auto blocks = affine_blocks(tensor.type, bytes);
  auto shape = shape_of(tensor);
  auto packed = shape, groups = shape;
  packed.back() = packed.back() / kGroup * blocks.bits;
  groups.back() /= kGroup;
  return {
      array_of<uint32_t>(blocks.packed.data(), packed),
      array_of<mx::float16_t>(blocks.scales.data(), groups),
      array_of<mx::float16_t>(blocks.biases.data(), groups),
      kGroup,
      blocks.bits};
}

// Unpacked in place: a copy beside it would be the largest thing of a conversion.
mx::array superblock_array(const GgufTensor& tensor, std::span<const std::byte> bytes) {
  auto shape = shape_of(tensor);
  size_t count = 1;
  for (int side : shape) count *= static_cast<size_t>(side);
  mx::array weights(mx::allocator::malloc(count * sizeof(float)), shape, mx::float32);
  unpack_superblocks(tensor.type, bytes, {weights.data<float>(), count});
  return weights;
}

mx::array dense_array(const GgufTensor& tensor, std::span<const std::byte> bytes) {
  auto shape = shape_of(tensor);
  if (tensor.type == GgufType::f32) return array_of<float>(bytes.data(), shape);
  if (tensor.type == GgufType::f16) return array_of<mx::float16_t>(bytes.data(), shape);
  if (is_quantized(tensor.type)) return superblock_array(tensor, bytes);
  return array_of<mx::bfloat16_t>(bytes.data(), shape);
}

mx::Dtype dtype_of(GgufType type) {
  if (type == GgufType::f32) return mx::float32;
  return type == GgufType::bf16 ? mx::bfloat16 : mx::float16;
}

// The type of most matrices, in which small float32 tensors are kept where that is
// exact.
mx::Dtype main_dtype(const GgufFile& file) {
  std::array<int, 3> counts{};
  for (const auto& tensor : file.tensors()) {
    if (tensor.shape.size() < 2) continue;
    auto dtype = dtype_of(tensor.type);
    ++counts[dtype == mx::float16 ? 0 : dtype == mx::bfloat16 ? 1 : 2];
  }
  constexpr std::array kDtypes = {mx::float16, mx::bfloat16, mx::float32};
  return kDtypes[std::max_element(counts.begin(), counts.end()) - counts.begin()];
}

mx::array narrowed_if_exact(const mx::array& values, mx::Dtype dtype) {
  auto narrow = mx::astype(values, dtype);
  return mx::array_equal(mx::astype(narrow, mx::float32), values).item<bool>() ? narrow
                                                                               : values;
}

SourceArray load(
    const GgufFile& file, const GgufTensor& tensor, int heads, mx::Dtype main) {
  auto bytes = file.read(tensor);
  if (heads > 0) bytes = unpermuted_rows(bytes, tensor.shape.front(), heads);
  try {
    if (has_affine_blocks(tensor.type)) return quantized_array(tensor, bytes);
    auto dense = dense_array(tensor, bytes);
    bool is_vector = tensor.shape.size() == 1 && tensor.type == GgufType::f32;
    return is_vector ? narrowed_if_exact(dense, main) : dense;
  } catch (const std::invalid_argument& error) {
    file.fail("tensor " + in_quotes(tensor.name) + ": " + error.what());
  }
}

// Norms and biases are dense: they have no scales to go with.
void expect_dense_vector(const GgufFile& file, const GgufTensor& tensor) {
  if (tensor.shape.size() > 1 || !is_quantized(tensor.type)) return;
  file.fail(
      "tensor " + in_quotes(tensor.name) + " is a vector of type " +
      gguf_type_name(tensor.type) + ", expected F32, F16 or BF16");
}

// Heads of the rows that are permuted in the file; 0: none.
int permuted_heads(std::string_view name, const DecoderConfig& config, bool permuted) {
  if (!permuted) return 0;
  if (name.find(".q_proj.") != name.npos) return config.num_heads;
  if (name.find(".k_proj.") != name.npos) return config.num_kv_heads;
  return 0;
}

}  // namespace

ModelSource open_gguf_source(const std::string& path) {
  auto file = std::make_shared<GgufFile>(path);
  ModelSource source{gguf_model_config(*file), {}, gguf_tokenizer_files(*file)};
  source.files["generation_config.json"] = gguf_generation_config(*file).dump(2) + "\n";
  auto decoder = parse_model_config(source.config, path).decoder;
  bool permuted = gguf_rows_are_permuted(*file);
  auto main = main_dtype(*file);
  source.config["torch_dtype"] = main == mx::float16    ? "float16"
                                 : main == mx::bfloat16 ? "bfloat16"
                                                        : "float32";
  for (const auto& tensor : file->tensors()) {
    if (tensor.name == "rope_freqs.weight") continue;  // in the configuration
    auto name = huggingface_name(tensor.name);
    if (!name)
      file->fail("tensor " + in_quotes(tensor.name) + " has no place in this model");
    expect_dense_vector(*file, tensor);
    int heads = permuted_heads(*name, decoder, permuted);
    SourceTensor entry{*name, shape_of(tensor), [file, &tensor, heads, main] {
                         return load(*file, tensor, heads, main);
                       }};
    entry.type = gguf_type_name(tensor.type);
    if (is_quantized(tensor.type)) entry.unpacked = mx::float16;
    source.tensors.push_back(std::move(entry));
  }
  return source;
}

}  // namespace pupil
