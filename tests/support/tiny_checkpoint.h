// Model directories and GGUF files of the tiny decoder, for tests of conversion.

#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "support/files.h"
#include "support/gguf_bytes.h"
#include "support/tiny_model.h"

namespace pupil::testing {

/// Wide enough for every group size: rows of 128 and 256.
inline DecoderConfig wide_config() {
  auto config = tiny_config();
  config.num_layers = 1;
  config.hidden_size = 128;
  config.intermediate_size = 256;
  config.head_dim = 32;
  config.rope_periods.assign(16, 1.0f);
  return config;
}

/// What Hugging Face's config.json says of `config`.
inline nlohmann::json huggingface_config(const DecoderConfig& config) {
  return {
      {"architectures", {"LlamaForCausalLM"}},
      {"model_type", "llama"},
      {"num_hidden_layers", config.num_layers},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"num_attention_heads", config.num_heads},
      {"num_key_value_heads", config.num_kv_heads},
      {"head_dim", config.head_dim},
      {"vocab_size", config.vocab_size},
      {"max_position_embeddings", config.max_positions},
      {"rms_norm_eps", config.norm_eps},
      {"rope_theta", 10000.0},
      {"tie_word_embeddings", config.tied_head},
      {"eos_token_id", 1},
      {"torch_dtype", "float32"}};
}

/// Puts the tiny tokenizer's files into `dir`.
inline void put_tokenizer(const std::filesystem::path& dir) {
  namespace fs = std::filesystem;
  fs::create_directories(dir);
  auto tiny = fs::path(PUPIL_SOURCE_DIR) / "tests/support/tiny_tokenizer";
  for (const auto& entry : fs::directory_iterator(tiny)) {
    fs::copy(entry.path(), dir / entry.path().filename());
  }
}

/// A whole Hugging Face directory.
inline void put_huggingface(
    const std::filesystem::path& dir,
    const nlohmann::json& config,
    const Checkpoint::Tensors& tensors) {
  put_tokenizer(dir);
  write_text(dir / "config.json", config.dump(2));
  mx::save_safetensors(dir / "model.safetensors", tensors, {{"format", "pt"}});
}

/// The metadata of a GGUF file of this architecture ("llama", "qwen2") and shape, with
/// a vocabulary of its size.
inline GgufBytes gguf_header(
    const std::string& architecture, const DecoderConfig& config) {
  GgufBytes file;
  auto size = [&](const char* name, int value) {
    file.set(architecture + "." + name, static_cast<uint32_t>(value));
  };
  file.set("general.architecture", architecture);
  size("block_count", config.num_layers);
  size("embedding_length", config.hidden_size);
  size("feed_forward_length", config.intermediate_size);
  size("context_length", config.max_positions);
  size("attention.head_count", config.num_heads);
  size("attention.head_count_kv", config.num_kv_heads);
  size("attention.key_length", config.head_dim);
  size("rope.dimension_count", config.head_dim);
  file.set(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
  file.set(architecture + ".rope.freq_base", 10000.0f);
  std::vector<std::string> tokens = {"<pad>", "<eos>"};
  std::vector<int32_t> types = {3, 3};
  while (static_cast<int>(tokens.size()) < config.vocab_size) {
    tokens.push_back(std::string(1, static_cast<char>('0' + tokens.size())));
    types.push_back(1);
  }
  file.set("tokenizer.ggml.model", std::string("gpt2"));
  file.set("tokenizer.ggml.pre", std::string("smollm"));
  file.set("tokenizer.ggml.tokens", tokens);
  file.set("tokenizer.ggml.token_type", types);
  file.set("tokenizer.ggml.merges", std::vector<std::string>{});
  file.set("tokenizer.ggml.eos_token_id", 1u);
  file.set("tokenizer.ggml.padding_token_id", 0u);
  return file;
}

/// Random data of `rows` x `columns` weights. Scales are small and finite.
inline std::string random_gguf_data(
    GgufType type, int rows, int columns, std::mt19937& random) {
  auto [block_size, block_bytes] = gguf_layout(type);
  std::string data;
  for (int i = 0; i < rows * columns / block_size; ++i) {
    Bytes block;
    if (type == GgufType::f32) {
      block.number(static_cast<float>(random() % 1000) / 256.0f - 2.0f);
    } else if (type == GgufType::bf16) {
      block.number<uint16_t>(0x3e00 + random() % 512);  // 0.125 and more
    } else if (type == GgufType::f16) {
      block.number<uint16_t>(0x3000 + random() % 2048);
    } else {
      auto [d, m] =
          block_size == 32 ? std::pair{0x2000, 0xa000} : std::pair{0x800, 0x800};
      if (type != GgufType::q6_k) block.number<uint16_t>(d + random() % 2048);
      bool has_m = type == GgufType::q4_1 || type == GgufType::q5_1 ||
                   type == GgufType::q4_k || type == GgufType::q5_k;
      if (has_m) block.number<uint16_t>(m + random() % 2048);
      int end = type == GgufType::q6_k ? 208 : block_bytes;
      while (static_cast<int>(block.text.size()) < end) block.number<uint8_t>(random());
      if (type == GgufType::q6_k) block.number<uint16_t>(d + random() % 2048);
    }
    data += block.text;
  }
  return data;
}

}  // namespace pupil::testing
