#include "models/gguf_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/quote.h"
#include "models/rope_scaling.h"
#include "text/gguf_tokenizer.h"

namespace pupil {
namespace {

using nlohmann::json;

std::string architecture_of(const GgufFile& file) {
  const auto& name = file.get<std::string>("general.architecture");
  if (name != "llama" && name != "qwen2") {
    file.fail(
        "general.architecture, expected llama or qwen2, got " + in_quotes(name) +
        "; other families are converted from their safetensors");
  }
  return name;
}

const GgufTensor* find_tensor(const GgufFile& file, std::string_view name) {
  for (const auto& tensor : file.tensors()) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

// The shortest decimal that is this float32: 1e-5, not 9.99999974e-6.
double shortest(double value) {
  std::array<char, 32> text;
  auto end =
      std::to_chars(text.data(), text.data() + text.size(), static_cast<float>(value))
          .ptr;
  std::from_chars(text.data(), end, value);
  return value;
}

// Llama 3.1 files carry their rotary scaling as a tensor of period factors. Hugging
// Face names it by four numbers, of which published models differ in the first only;
// they are taken if they give back the tensor.
json scaling_of_factors(const GgufFile& file, const GgufTensor& tensor, json config) {
  auto bytes = file.read(tensor);
  if (tensor.type != GgufType::f32) file.fail("rope_freqs.weight, expected type F32");
  std::vector<float> factors(bytes.size() / sizeof(float));
  std::memcpy(factors.data(), bytes.data(), bytes.size());
  int head_dim = config.at("head_dim");
  if (factors.size() * 2 != static_cast<size_t>(head_dim)) {
    file.fail("rope_freqs.weight, expected one factor for two dimensions of a head");
  }
  auto plain = read_rope(config, head_dim, file.path()).periods;
  double largest = *std::max_element(factors.begin(), factors.end());
  if (!(largest > 1 && largest <= 1e4)) file.fail("rope_freqs.weight: bad factors");
  json scaling = {
      {"rope_type", "llama3"},
      {"factor", shortest(largest)},
      {"low_freq_factor", 1.0},
      {"high_freq_factor", 4.0},
      {"original_max_position_embeddings", 8192}};
  config["rope_scaling"] = scaling;
  auto scaled = read_rope(config, head_dim, file.path()).periods;
  for (size_t i = 0; i < factors.size(); ++i) {
    double expected = double{plain[i]} * factors[i];
    if (!(std::abs(scaled[i] - expected) <= 1e-4 * expected)) {
      file.fail("rope_freqs.weight is no known rotary scaling (llama3)");
    }
  }
  return scaling;
}

void set_rope(const GgufFile& file, const std::string& prefix, json& config) {
  const auto* theta = file.find<double>(prefix + "rope.freq_base");
  config["rope_theta"] = theta ? shortest(*theta) : 10000.0;
  const auto* dimensions = file.find<int64_t>(prefix + "rope.dimension_count");
  if (dimensions && *dimensions != config.at("head_dim")) {
    file.fail(prefix + "rope.dimension_count, expected the width of a head");
  }
  const auto* type = file.find<std::string>(prefix + "rope.scaling.type");
  if (const auto* factors = find_tensor(file, "rope_freqs.weight")) {
    config["rope_scaling"] = scaling_of_factors(file, *factors, config);
  } else if (type && *type == "linear") {
    double factor = shortest(file.get<double>(prefix + "rope.scaling.factor"));
    config["rope_scaling"] = {
        {"rope_type", "linear"}, {"type", "linear"}, {"factor", factor}};
  } else if (type && *type != "none") {
    file.fail(
        prefix + "rope.scaling.type " + in_quotes(*type) + ", expected none or linear");
  }
}

void set_sizes(const GgufFile& file, const std::string& prefix, json& config) {
  auto number = [&](const char* name) { return file.get<int64_t>(prefix + name); };
  int64_t width = number("embedding_length"), heads = number("attention.head_count");
  if (heads < 1 || heads > width)
    file.fail(prefix + "attention.head_count is out of range");
  config["hidden_size"] = width;
  config["num_hidden_layers"] = number("block_count");
  config["intermediate_size"] = number("feed_forward_length");
  config["max_position_embeddings"] = number("context_length");
  config["num_attention_heads"] = heads;
  const auto* kv_heads = file.find<int64_t>(prefix + "attention.head_count_kv");
  config["num_key_value_heads"] = kv_heads ? *kv_heads : heads;
  const auto* head_dim = file.find<int64_t>(prefix + "attention.key_length");
  config["head_dim"] = head_dim ? *head_dim : width / heads;
  config["rms_norm_eps"] =
      shortest(file.get<double>(prefix + "attention.layer_norm_rms_epsilon"));
  const auto* table = find_tensor(file, "token_embd.weight");
  if (!table) file.fail("tensor 'token_embd.weight' is missing");
  config["vocab_size"] = table->shape.front();
}

void set_family(const GgufFile& file, const std::string& architecture, json& config) {
  const auto* window = file.find<int64_t>(architecture + ".attention.sliding_window");
  if (architecture == "qwen2") {
    config["architectures"] = {"Qwen2ForCausalLM"};
    config["model_type"] = "qwen2";
    config["use_sliding_window"] = false;
  } else if (window && *window > 0) {
    config["architectures"] = {"MistralForCausalLM"};
    config["model_type"] = "mistral";
    config["sliding_window"] = *window;
  } else {
    config["architectures"] = {"LlamaForCausalLM"};
    config["model_type"] = "llama";
    config["attention_bias"] = find_tensor(file, "blk.0.attn_q.bias") != nullptr;
    config["mlp_bias"] = find_tensor(file, "blk.0.ffn_up.bias") != nullptr;
  }
}

void set_token_ids(const GgufFile& file, json& config) {
  auto ids = gguf_special_ids(file);
  if (ids.bos) config["bos_token_id"] = *ids.bos;
  if (ids.pad) config["pad_token_id"] = *ids.pad;
  if (ids.eos.size() == 1) config["eos_token_id"] = ids.eos.front();
  if (ids.eos.size() > 1) config["eos_token_id"] = ids.eos;
}

}  // namespace

json gguf_model_config(const GgufFile& file) {
  auto architecture = architecture_of(file);
  json config = {{"hidden_act", "silu"}};
  set_family(file, architecture, config);
  set_sizes(file, architecture + ".", config);
  set_rope(file, architecture + ".", config);
  set_token_ids(file, config);
  config["tie_word_embeddings"] = find_tensor(file, "output.weight") == nullptr;
  return config;
}

json gguf_generation_config(const GgufFile& file) {
  json config = json::object();
  set_token_ids(file, config);
  return config;
}

bool gguf_rows_are_permuted(const GgufFile& file) {
  return architecture_of(file) == "llama";
}

}  // namespace pupil
