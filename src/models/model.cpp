#include "models/model.h"

#include <algorithm>
#include <future>
#include <stdexcept>

#include "base/allocator.h"
#include "formats/model_index.h"
#include "formats/safetensors.h"
#include "models/text_model.h"
#include "ops/no_cache.h"

namespace pupil {

namespace {

bool on_gpu() {
  return mx::default_device() == mx::Device::gpu;
}

// A CPU works in float32: norms and biases are widened once, here. Packed weights,
// their scales and dense matrices stay as they are; the kernels read every float type.
mx::array widen_vectors(const mx::array& tensor) {
  bool is_vector = tensor.ndim() == 1 && mx::issubdtype(tensor.dtype(), mx::floating);
  return is_vector ? mx::astype(tensor, mx::float32) : tensor;
}

Checkpoint::Tensors read_tensors(const std::string& model_dir) {
  Checkpoint::Tensors tensors;
  for (const auto& shard : model_shards(model_dir)) {
    read_safetensors_header(shard);  // MLX's reader trusts what this one checks
    for (auto& [stored_name, tensor] : mx::load_safetensors(shard).first) {
      auto name = text_tensor_name(stored_name);
      if (!name) continue;
      auto [at, fresh] =
          tensors.emplace(*name, on_gpu() ? tensor : widen_vectors(tensor));
      if (!fresh) {
        throw std::invalid_argument(
            "[model] " + shard + ": tensor '" + stored_name + "' again");
      }
    }
  }
  return tensors;
}

mx::Dtype activation_type(const Checkpoint::Tensors& tensors) {
  if (!on_gpu()) return mx::float32;
  auto norm = tensors.find("model.norm.weight");
  return norm == tensors.end() ? mx::float32 : norm->second.dtype();
}

void expect_ids(const Model& model) {
  int vocab = model.decoder.config.vocab_size;
  auto fail = [&](const std::string& what) {
    throw std::invalid_argument("[model] " + model.path + ": " + what);
  };
  // Tokens added to it may have no embedding: the tokenizer refuses text with them.
  int base = model.tokenizer.base_vocab_size();
  if (base > vocab) {
    fail(
        "the tokenizer has " + std::to_string(base) + " ids, the model " +
        std::to_string(vocab) + "; they are not of one model");
  }
  if (model.eos_ids.empty())
    fail("no eos_token_id in generation_config.json or config.json");
  auto ends = model.eos_ids;
  ends.push_back(model.tokenizer.eos_id());
  for (int id : ends) {
    if (id >= vocab)
      fail("eos_token_id " + std::to_string(id) + " is outside the vocabulary");
  }
}

}  // namespace

Decoder load_decoder(const std::string& model_dir) {
  NoCache while_loading;  // each packed tensor is freed once it lies in tiles
  auto description = read_model_config(model_dir);
  auto tensors = read_tensors(model_dir);
  auto dtype = activation_type(tensors);
  Checkpoint checkpoint(std::move(tensors), description.quantization, model_dir);
  checkpoint.expect_packed();
  return Decoder(std::move(checkpoint), description.decoder, dtype);
}

Model load_model(const std::string& model_dir) {
  int num_embeddings = read_model_config(model_dir).decoder.vocab_size;
  // Reading the vocabulary takes as long as reading the weights, and for a moment half
  // as much memory.
  auto tokenizer = std::async(std::launch::async, [&] {
    Tokenizer loaded(model_dir, num_embeddings);
    return_freed_memory();
    return loaded;
  });
  auto decoder = load_decoder(model_dir);
  Model model{std::move(decoder), tokenizer.get(), read_eos_ids(model_dir), model_dir};
  if (model.eos_ids.empty() && model.tokenizer.eos_id() >= 0) {
    model.eos_ids = {model.tokenizer.eos_id()};
  }
  expect_ids(model);
  return_freed_memory();  // of both readers
  return model;
}

}  // namespace pupil
