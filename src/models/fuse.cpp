#include "models/fuse.h"

#include <cmath>

#include "models/adapters.h"
#include "models/model.h"
#include "ops/pack_weight.h"

namespace pupil {

namespace {

// The part of a tensor's name before ".weight".
std::string module_of(const std::string& name) {
  return name.substr(0, name.rfind('.'));
}

std::string kind_of(const std::string& module) {
  return module.substr(module.rfind('.') + 1);
}

mx::array as_float(const SourceArray& array) {
  if (const auto* dense = std::get_if<mx::array>(&array))
    return mx::astype(*dense, mx::float32);
  auto packed = std::get<QuantizedWeight>(array);
  if (packed.mode == QuantMode::affine) {
    packed.scales = mx::astype(packed.scales, mx::float32);
    packed.biases = mx::astype(*packed.biases, mx::float32);
  }
  return mx::astype(unpacked(packed), mx::float32);
}

double squared_length(const mx::array& x) {
  return mx::sum(mx::square(x)).item<float>();
}

// W [out, in] with the adapter's part; of experts [X, out, in].
mx::array fused(const mx::array& weight, const Lora& lora) {
  if (weight.ndim() == 3)
    return weight + mx::array(lora.scale) * mx::matmul(lora.b, lora.a);
  auto sum = weight + mx::array(lora.scale) * mx::transpose(mx::matmul(lora.a, lora.b));
  if (!lora.magnitude) return sum;
  auto lengths = mx::sqrt(mx::sum(mx::square(sum), 1, true));
  return sum * mx::expand_dims(lora.magnitude->m, 1) / lengths;
}

/// The adapter by module, and the sums of what it did.
class Fusion {
 public:
  explicit Fusion(const FuseOptions& options)
      : dequantize_(options.dequantize), model_(load_decoder(options.model)) {
    load_adapters(model_, options.adapter);
    for_each_adapter(model_, [&](const std::string& path, std::optional<Lora>& lora) {
      if (lora) loras_.emplace(path, *lora);
    });
    auto paths = trained_paths(model_);
    auto arrays = trained_arrays(model_);
    for (size_t i = 0; i < paths.size() && loras_.empty(); ++i)
      whole_.emplace(paths[i], arrays[i]);
  }

  /// What is to be written in place of a tensor; nothing: the tensor as it is.
  std::optional<SourceArray> operator()(
      const std::string& name, const SourceArray& array) {
    auto lora = loras_.find(module_of(name));
    auto whole = whole_.find(name);
    bool is_adapted = lora != loras_.end() && name.ends_with(".weight");
    if (!is_adapted && whole == whole_.end()) return std::nullopt;
    auto before = as_float(array);
    auto after = is_adapted ? fused(before, lora->second) : whole->second;
    return written(name, array, before, after);
  }

  const FuseSummary& summary() const { return summary_; }

 private:
  SourceArray written(
      const std::string& name,
      const SourceArray& array,
      const mx::array& before,
      const mx::array& after) {
    FuseMove move{1, squared_length(before), squared_length(after - before), 0};
    const auto* packed = std::get_if<QuantizedWeight>(&array);
    SourceArray result = after;
    if (packed && !dequantize_) {
      result = pack_weight(
          mx::astype(after, packed_dtype(*packed)),
          {packed->group_size, packed->bits, packed->mode});
      move.packing = squared_length(as_float(result) - after);
    } else {
      result = mx::astype(after, packed ? packed_dtype(*packed) : dtype_of(array));
    }
    summary_.moves[kind_of(module_of(name))] += move;
    return result;
  }

  static mx::Dtype dtype_of(const SourceArray& array) {
    return std::get<mx::array>(array).dtype();
  }
  // Of the unpacked weights: that of the scales where they are floats.
  static mx::Dtype packed_dtype(const QuantizedWeight& packed) {
    return packed.mode == QuantMode::affine ? packed.scales.dtype() : mx::bfloat16;
  }

  bool dequantize_;
  Decoder model_;
  std::map<std::string, Lora> loras_;
  std::map<std::string, mx::array> whole_;
  FuseSummary summary_;
};

}  // namespace

FuseMove& FuseMove::operator+=(const FuseMove& other) {
  modules += other.modules;
  weights += other.weights;
  adapter += other.adapter;
  packing += other.packing;
  return *this;
}

double FuseMove::effect() const {
  return weights > 0 ? std::sqrt(adapter / weights) : 0;
}

double FuseMove::loss() const {
  return adapter > 0 ? std::sqrt(packing / adapter) : 0;
}

FuseMove FuseSummary::total() const {
  FuseMove total;
  for (const auto& [_, move] : moves) total += move;
  return total;
}

FuseSummary fuse_model(const FuseOptions& options, const ConvertProgress& progress) {
  Fusion fusion(options);
  ConvertOptions conversion;
  conversion.from = options.model;
  conversion.to = options.to;
  conversion.dequantize = options.dequantize;
  conversion.keep_dtypes = true;
  conversion.existing = options.existing;
  conversion.replace = [&](const std::string& name, const SourceArray& array) {
    return fusion(name, array);
  };
  convert_model(conversion, progress);
  return fusion.summary();
}

}  // namespace pupil
