#include "models/convert.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "base/file.h"
#include "models/model_source.h"
#include "models/model_writer.h"
#include "ops/pack_weight.h"
#include "text/tokenizer.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

ModelSource open_source(const std::string& from) {
  if (fs::is_directory(from)) return open_huggingface_source(from);
  if (from.ends_with(".gguf")) return open_gguf_source(from);
  throw std::invalid_argument(
      "[convert] " + from + ": expected a model directory or a .gguf file");
}

std::string without_suffix(const std::string& name) {
  return name.substr(0, name.rfind('.'));
}

/// How arrays of one conversion change.
class Change {
 public:
  Change(
      const ConvertOptions& options,
      const ModelSource& source,
      const DecoderConfig& model)
      : dequantize_(options.dequantize),
        replace_(options.replace),
        asked_(options.dtype),
        dtype_(options.dtype || options.keep_dtypes ? options.dtype : source.dtype) {
    if (options.quantize)
      plan_.emplace(*options.quantize, model.model_type, model.num_layers);
  }

  /// The array of `tensor` as it is to be written.
  SourceArray operator()(const SourceTensor& tensor) const {
    auto loaded = tensor.load();
    if (auto given = replace_ ? replace_(tensor.name, loaded) : std::nullopt)
      return *given;
    if (auto* packed = std::get_if<QuantizedWeight>(&loaded)) {
      if (!dequantize_ && (!plan_ || tensor.is_mlx)) return with_cast_scales(*packed);
      loaded = unpack(*packed, tensor);
    } else {
      loaded = cast(std::get<mx::array>(loaded), dtype_ ? dtype_ : tensor.unpacked);
    }
    const auto& dense = std::get<mx::array>(loaded);
    auto packing = new_packing(tensor);
    return packing ? SourceArray(pack_weight(dense, *packing)) : dense;
  }

  /// How `tensor` is packed anew; none: it is not.
  std::optional<Quantization> new_packing(const SourceTensor& tensor) const {
    if (!plan_ || tensor.is_mlx) return std::nullopt;
    return plan_->packing(without_suffix(tensor.name), tensor.shape);
  }

  const std::optional<QuantizePlan>& plan() const { return plan_; }

 private:
  static mx::array cast(const mx::array& array, std::optional<mx::Dtype> dtype) {
    return dtype ? mx::astype(array, *dtype) : array;
  }

  QuantizedWeight with_cast_scales(QuantizedWeight weight) const {
    if (weight.mode != QuantMode::affine) return weight;
    weight.scales = cast(weight.scales, dtype_);
    weight.biases = cast(*weight.biases, dtype_);
    return weight;
  }

  // mlx-lm casts the scales and then unpacks: weights that are not affine are bfloat16
  // whatever the configuration says. A GGUF file's are rounded once.
  mx::array unpack(QuantizedWeight weight, const SourceTensor& tensor) const {
    if (tensor.is_mlx) return cast(unpacked(with_cast_scales(weight)), asked_);
    weight.scales = mx::astype(weight.scales, mx::float32);
    weight.biases = mx::astype(*weight.biases, mx::float32);
    return cast(unpacked(weight), dtype_ ? dtype_ : tensor.unpacked);
  }

  bool dequantize_;
  decltype(ConvertOptions::replace) replace_;
  std::optional<mx::Dtype> asked_, dtype_;
  std::optional<QuantizePlan> plan_;
};

// What a "quantization" block says of all modules but those with an entry of their own.
std::string common_entry(const nlohmann::json& block) {
  auto common = nlohmann::json::object();
  for (const char* key : {"bits", "group_size", "mode"})
    if (block.contains(key)) common[key] = block[key];
  return common.dump();
}

// A copy is not what -q or -d asked for. What is replaced is its caller's affair.
void expect_effect(
    const ConvertOptions& options, const ModelSource& source, const Change& change) {
  using Tensor = const SourceTensor&;
  auto any = [&](auto test) { return std::ranges::any_of(source.tensors, test); };
  auto fail = [&](const std::string& what) {
    throw std::invalid_argument("[convert] " + options.from + ": " + what);
  };
  if (options.replace) return;
  if (options.dequantize && !any([](Tensor t) { return t.is_mlx || t.unpacked; }))
    fail("-d would change nothing: no weight of it is packed");
  auto is_packed_anew = [&](Tensor t) { return change.new_packing(t).has_value(); };
  if (!options.quantize || any(is_packed_anew)) return;
  if (any([](Tensor t) { return t.is_mlx; }))
    fail(
        "-q would change nothing: it is packed already with " +
        common_entry(source.quantization) + "; dequantize it first (-d)");
  fail("-q would change nothing: no matrix has rows that divide into its groups");
}

std::vector<std::string> names_of(const ModelSource& source) {
  std::vector<std::string> names;
  for (const auto& tensor : source.tensors) names.push_back(tensor.name);
  return names;
}

/// Writes tensors and remembers how each module was packed.
class Conversion {
 public:
  Conversion(std::string dir, const ModelSource& source, const ConvertOptions& options)
      : writer_(std::move(dir), names_of(source), options.shard_bytes),
        packs_anew_(options.quantize.has_value()) {}

  void add(const SourceTensor& tensor, const SourceArray& array) {
    int64_t parameters = 1, bytes = 0;
    for (int dimension : tensor.shape) parameters *= dimension;
    auto put = [&](const std::string& name, const mx::array& part) {
      bytes += static_cast<int64_t>(part.nbytes());
      writer_.add(name, part);
    };
    Quantization packing = kDense;
    if (const auto* packed = std::get_if<QuantizedWeight>(&array)) {
      auto module = without_suffix(tensor.name);
      put(tensor.name, packed->packed);
      put(module + ".scales", packed->scales);
      if (packed->biases) put(module + ".biases", *packed->biases);
      packing = {packed->group_size, packed->bits, packed->mode};
      packings_[module] = packing;
      if (!tensor.is_mlx) packed_anew_.push_back(module);
    } else {
      const auto& dense = std::get<mx::array>(array);
      put(tensor.name, dense);
      packing.bits = static_cast<int>(mx::size_of(dense.dtype())) * 8;
    }
    auto& row = summary_.rows[packing];
    ++row.tensors, row.parameters += parameters, row.bytes += bytes;
    if (!tensor.type.empty())
      ++summary_.origins[{tensor.type, fate_of(tensor, array), packing}];
  }

  /// What config.json says of the packing; null: nothing is packed.
  nlohmann::json packing_block(
      const nlohmann::json& before, const std::optional<QuantizePlan>& plan) const {
    if (packings_.empty()) return nullptr;
    if (plan) return plan->block(before, packed_anew_);
    return before.is_null() ? block_of(packings_) : before;
  }

  ConvertSummary finish() {
    writer_.finish(summary_.total().parameters);
    return summary_;
  }

  const ConvertSummary& summary() const { return summary_; }

 private:
  ConvertSummary::Fate fate_of(
      const SourceTensor& tensor, const SourceArray& array) const {
    using enum ConvertSummary::Fate;
    if (std::holds_alternative<QuantizedWeight>(array)) {
      return packs_anew_ ? packed : kept;
    }
    return tensor.unpacked ? unpacked : dense;
  }

  ModelWriter writer_;
  bool packs_anew_;
  Packings packings_;
  std::vector<std::string> packed_anew_;
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
    const nlohmann::json& block,
    const ConvertOptions& options) {
  auto config = source.config;
  if (options.dtype) {
    config.erase("dtype");  // transformers 5's name for the same
    config["torch_dtype"] = dtype_text(*options.dtype);
  }
  if (!block.is_null()) {
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
  Change change(options, source, description.decoder);
  expect_effect(options, source, change);
  StagedDirectory staged(options.to, options.existing);
  write_files(staged.path(), source, options.from);
  Conversion conversion(staged.path(), source, options);
  size_t done = 0;
  for (auto& tensor : source.tensors) {
    progress(done++, source.tensors.size(), conversion.summary().total().bytes);
    conversion.add(tensor, change(tensor));
  }
  auto summary = conversion.finish();
  auto block = conversion.packing_block(source.quantization, change.plan());
  auto config = final_config(source, block, options);
  write_file_atomically(staged.path() + "/config.json", config.dump(2) + "\n");
  read_model_config(staged.path());  // what we wrote is what we would load
  staged.commit();
  progress(done, done, summary.total().bytes);
  return summary;
}

}  // namespace pupil
