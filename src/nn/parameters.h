// The bridge between a model (a tree of structs) and MLX transforms, which take and
// return flat vectors of arrays.

#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/visit.h"
#include "mlx/mlx.h"
#include "ops/quantization.h"

namespace pupil {

namespace mx = mlx::core;

/// How modules are packed, by name; the entry "" holds for all others, and one of
/// kDense for a module that is not packed.
using Packings = std::map<std::string, Quantization>;

constexpr Quantization kDense{0, 0};

/// The packing of `module`: its own entry, else the common one; none if there is none.
std::optional<Quantization> packing_of(
    const Packings& packings, const std::string& module);

/// Named tensors read from disk, handed out once each. A constructor takes the tensors
/// it needs by name and shape; `expect_empty` then proves that nothing was ignored.
class Checkpoint {
 public:
  using Tensors = std::unordered_map<std::string, mx::array>;

  /// `source` names the checkpoint in errors.
  Checkpoint(Tensors tensors, Packings quantization, std::string source)
      : tensors_(std::move(tensors)),
        quantization_(std::move(quantization)),
        source_(std::move(source)) {}

  bool contains(const std::string& name) const { return tensors_.contains(name); }

  /// Removes and returns tensor `name`. Throws std::invalid_argument if there is none,
  /// or if it has another shape or kind of number.
  mx::array take(
      const std::string& name,
      const mx::Shape& shape,
      mx::Dtype::Category kind = mx::floating);

  /// The packing of module `scope`: its own entry of config.json, else the model's.
  /// Throws std::invalid_argument if config.json says nothing about it.
  Quantization quantization(const std::string& scope) const;

  /// Throws std::invalid_argument if config.json calls a module packed, or the whole
  /// model, whose weights are not; or a module dense whose weights are packed. Before
  /// the first `take`.
  void expect_packed() const;

  /// Throws std::invalid_argument naming a tensor that nobody took.
  void expect_empty() const;

  /// Throws std::invalid_argument: "[model] SOURCE: `what`".
  [[noreturn]] void fail(const std::string& what) const;

 private:
  Tensors tensors_;
  Packings quantization_;
  std::string source_;
};

/// The arrays of `model` whose path satisfies `keep`, in declaration order.
template <class Model, class Keep>
std::vector<mx::array> select_parameters(const Model& model, Keep keep) {
  std::vector<mx::array> selected;
  for_each_leaf(model, "", [&](const std::string& path, const mx::array& a) {
    if (keep(path)) selected.push_back(a);
  });
  return selected;
}

/// The paths of the same arrays, in the same order.
template <class Model, class Keep>
std::vector<std::string> select_paths(const Model& model, Keep keep) {
  std::vector<std::string> paths;
  for_each_leaf(model, "", [&](const std::string& path, const mx::array&) {
    if (keep(path)) paths.push_back(path);
  });
  return paths;
}

/// Writes `values` back over the arrays `select_parameters` returned.
template <class Model, class Keep>
void assign_parameters(Model& model, const std::vector<mx::array>& values, Keep keep) {
  size_t next = 0;
  for_each_leaf(model, "", [&](const std::string& path, mx::array& a) {
    if (keep(path)) a = values.at(next++);
  });
}

/// True for the arrays of an adapter.
inline bool is_lora(std::string_view path) {
  return path.ends_with(".lora_a") || path.ends_with(".lora_b") || path.ends_with(".m");
}

}  // namespace pupil
