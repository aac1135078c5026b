#include "models/convert.h"

#include <filesystem>
#include <stdexcept>

#include "base/file.h"
#include "models/model_source.h"
#include "models/model_writer.h"
#include "text/tokenizer.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

using Packing = std::pair<int, int>;  // bits, group size

ModelSource open_source(const std::string& from) {
  if (fs::is_directory(from)) return open_huggingface_source(from);
  if (from.ends_with(".gguf")) return open_gguf_source(from);
  throw std::invalid_argument(
      "[convert] " + from + ": expected a model directory or a .gguf file");
}

mx::array cast(const mx::array& array, const ConvertOptions& options) {
  return options.dtype ? mx::astype(array, *options.dtype) : array;
}

mx::array unpacked(const QuantizedWeight& weight) {
  return mx::dequantize(
      weight.packed,
      mx::astype(weight.scales, mx::float32),
      mx::astype(weight.biases, mx::float32),
      weight.group_size,
      weight.bits);
}

// Matrices, and stacks of them, are the linears and the embedding; a row must divide
// into groups. A router is small, and what it chooses hangs on its last bits.
bool is_packed(const SourceTensor& tensor, const ConvertOptions& options) {
  return options.quantize && tensor.shape.size() >= 2 &&
         !tensor.name.ends_with(".mlp.gate.weight") &&
         tensor.shape.back() % options.quantize->group_size == 0;
}

// The tensor as it is to be written.
SourceArray converted(const SourceTensor& tensor, const ConvertOptions& options) {
  auto loaded = tensor.load();
  auto* packed = std::get_if<QuantizedWeight>(&loaded);
  if (packed && !options.quantize) {
    packed->scales = cast(packed->scales, options);
    packed->biases = cast(packed->biases, options);
    return loaded;
  }
  auto dense =
      packed ? mx::astype(unpacked(*packed), mx::float16) : std::get<mx::array>(loaded);
  dense = cast(dense, options);
  if (!is_packed(tensor, options)) return dense;
  auto [group_size, bits] = *options.quantize;
  auto parts = mx::quantize(dense, group_size, bits);
  return QuantizedWeight{parts.at(0), parts.at(1), parts.at(2), group_size, bits};
}

std::string without_suffix(const std::string& name) {
  return name.substr(0, name.rfind('.'));
}

/// Writes tensors and remembers how each module was packed.
class Conversion {
 public:
  Conversion(std::string dir) : writer_(std::move(dir)) {}

  void add(const SourceTensor& tensor, const SourceArray& array) {
    int64_t parameters = 1, bytes = 0;
    for (int dimension : tensor.shape) parameters *= dimension;
    auto put = [&](const std::string& name, const mx::array& part) {
      bytes += static_cast<int64_t>(part.nbytes());
      writer_.add(name, part);
    };
    Packing packing{0, 0};
    if (const auto* packed = std::get_if<QuantizedWeight>(&array)) {
      auto module = without_suffix(tensor.name);
      put(tensor.name, packed->packed);
      put(module + ".scales", packed->scales);
      put(module + ".biases", packed->biases);
      packing = {packed->bits, packed->group_size};
      packings_[module] = packing;
    } else {
      const auto& dense = std::get<mx::array>(array);
      put(tensor.name, dense);
      packing = {static_cast<int>(mx::size_of(dense.dtype())) * 8, 0};
    }
    auto& row = summary_.rows[packing];
    ++row.tensors, row.parameters += parameters, row.bytes += bytes;
  }

  // mlx-lm's block: the most frequent packing, and the modules that differ from it.
  nlohmann::json quantization() const {
    std::map<Packing, int> counts;
    for (const auto& [_, packing] : packings_) ++counts[packing];
    if (counts.empty()) return nullptr;
    auto common = std::max_element(counts.begin(), counts.end(), [](auto& a, auto& b) {
                    return a.second < b.second;
                  })->first;
    nlohmann::json block = {
        {"group_size", common.second}, {"bits", common.first}, {"mode", "affine"}};
    for (const auto& [module, packing] : packings_) {
      if (packing == common) continue;
      block[module] = {{"group_size", packing.second}, {"bits", packing.first}};
    }
    return block;
  }

  ConvertSummary finish() {
    writer_.finish(summary_.total().parameters);
    return summary_;
  }

  const ConvertSummary& summary() const { return summary_; }

 private:
  ModelWriter writer_;
  std::map<std::string, Packing> packings_;
  ConvertSummary summary_;
};

const char* dtype_text(mx::Dtype dtype) {
  if (dtype == mx::float32) return "float32";
  return dtype == mx::bfloat16 ? "bfloat16" : "float16";
}

// Tokenizer files first of all, loaded as they will be: a broken one ends it early.
void write_files(
    const std::string& dir, const ModelSource& source, const std::string& from) {
  for (const auto& [name, text] : source.files) {
    write_file_atomically(dir + "/" + name, text);
  }
  try {
    Tokenizer check(dir);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(
        "[convert] " + from + ": the tokenizer cannot be loaded: " + error.what());
  }
}

nlohmann::json final_config(
    const ModelSource& source,
    const Conversion& conversion,
    const ConvertOptions& options) {
  auto config = source.config;
  if (options.dtype) {
    config.erase("dtype");  // transformers 5's name for the same
    config["torch_dtype"] = dtype_text(*options.dtype);
  }
  if (auto block = conversion.quantization(); !block.is_null()) {
    config["quantization"] = block;
    config["quantization_config"] = block;
  }
  return config;
}

}  // namespace

ConvertSummary::Row ConvertSummary::total() const {
  Row sum;
  for (const auto& [_, row] : rows) {
    sum.tensors += row.tensors;
    sum.parameters += row.parameters;
    sum.bytes += row.bytes;
  }
  return sum;
}

ConvertSummary convert_model(
    const ConvertOptions& options, const ConvertProgress& progress) {
  auto source = open_source(options.from);
  auto description = parse_model_config(source.config, options.from);
  check_tensors(source.tensors, description.decoder, options.from);
  StagedDirectory staged(options.to, options.existing);
  write_files(staged.path(), source, options.from);
  Conversion conversion(staged.path());
  size_t done = 0;
  for (auto& tensor : source.tensors) {
    progress(done++, source.tensors.size(), conversion.summary().total().bytes);
    conversion.add(tensor, converted(tensor, options));
  }
  auto summary = conversion.finish();
  auto config = final_config(source, conversion, options);
  write_file_atomically(staged.path() + "/config.json", config.dump(2) + "\n");
  read_model_config(staged.path());  // what we wrote is what we would load
  staged.commit();
  progress(done, done, summary.total().bytes);
  return summary;
}

}  // namespace pupil
