// Which weights a conversion packs, and how: the rules of mlx_lm.convert.

#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nn/parameters.h"

namespace pupil {

/// A mixed recipe of mlx-lm: the head gets `high_bits`, and so do v_proj and down_proj
/// of the first and the last eighth of the blocks and of each third one between; all
/// else gets `low_bits`.
struct QuantRecipe {
  std::string_view name;
  int low_bits, high_bits;
};

inline constexpr std::array kQuantRecipes = {
    QuantRecipe{"mixed_2_6", 2, 6},
    QuantRecipe{"mixed_3_4", 3, 4},
    QuantRecipe{"mixed_3_6", 3, 6},
    QuantRecipe{"mixed_4_6", 4, 6}};

/// What `pupil convert -q` asks for.
struct QuantizeRequest {
  std::optional<int> group_size = {};  // none: the mode's usual one
  std::optional<int> bits = {};        // the same
  QuantMode mode = QuantMode::affine;
  std::optional<QuantRecipe> recipe = {};  // none: every matrix alike
};

class QuantizePlan {
 public:
  /// Throws std::invalid_argument "[convert] ..." for sizes that MLX has not, or for a
  /// recipe with a mode other than affine.
  QuantizePlan(
      const QuantizeRequest& request, const std::string& model_type, int num_layers);

  /// The packing of a dense `module` of this shape, a matrix or a stack of them; none:
  /// it stays dense, as vectors do, and matrices whose rows do not divide into groups.
  /// Without a recipe some families have modules that get 8 bits in any case.
  std::optional<Quantization> packing(
      const std::string& module, const mx::Shape& shape) const;

  /// "quantization" of config.json once `packed` modules were packed; `before` is the
  /// source's, null if it had none. mlx-lm's habits: a recipe's modules each have an
  /// entry, whose group_size is null if none was asked for; a family's have one without
  /// a mode.
  nlohmann::json block(
      const nlohmann::json& before, const std::vector<std::string>& packed) const;

 private:
  int recipe_bits(const std::string& module) const;
  bool is_delicate(const std::string& module) const;
  nlohmann::json entry(const std::string& module) const;

  QuantizeRequest request_;
  Quantization common_;
  std::string model_type_;
  int num_layers_;
};

/// "quantization" of modules packed as they are: the most frequent packing, and the
/// modules that differ from it. null for none.
nlohmann::json block_of(const Packings& packings);

}  // namespace pupil
