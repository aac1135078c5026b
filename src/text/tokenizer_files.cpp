#include "text/tokenizer_files.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "base/json.h"

namespace pupil {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxBytes = 256u << 20;
[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw std::invalid_argument("[tokenizer] " + path + ": " + what);
}

std::string read_text(const std::string& path) {
  std::error_code trouble;
  auto bytes = fs::file_size(path, trouble);
  if (trouble) fail(path, trouble.message());
  if (bytes > kMaxBytes) fail(path, "larger than 256 MB");
  std::string text(bytes, '\0');
  std::ifstream in(path, std::ios::binary);
  if (!in.read(text.data(), static_cast<std::streamsize>(bytes))) {
    fail(path, "cannot be read");
  }
  return text;
}

/// The object in `path`, an empty one where there is no such file.
json read_object(const std::string& path) {
  if (!fs::exists(path)) return json::object();
  auto object = parse_json(read_text(path), "[tokenizer] " + path);
  if (!object.is_object()) fail(path, "expected a JSON object");
  return object;
}

/// tokenizer_config.json. Where it lists no added tokens, older files complete it.
json read_config(const std::string& dir) {
  auto config = read_object(dir + "/tokenizer_config.json");
  if (config.contains("added_tokens_decoder")) return config;
  config.update(read_object(dir + "/special_tokens_map.json"));
  auto added = read_object(dir + "/added_tokens.json");
  if (!added.empty()) config["added_tokens"] = added;
  return config;
}

/// merges.txt: a pair a line after an optional "#version" line.
json read_merges(const std::string& path) {
  json merges = json::array();
  std::istringstream lines(read_text(path));
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line.starts_with("#version")) continue;
    auto space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
      fail(
          path,
          "line " + std::to_string(number) + ": expected two parts and one space");
    }
    merges.push_back({line.substr(0, space), line.substr(space + 1)});
  }
  return merges;
}

/// What Hugging Face's Qwen2Tokenizer builds from vocab.json and merges.txt.
json qwen2_tokenizer(const json& vocab, const json& merges) {
  constexpr const char* kPieces =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  json bytes = {
      {"type", "ByteLevel"},
      {"add_prefix_space", false},
      {"trim_offsets", true},
      {"use_regex", false}};
  json split = {
      {"type", "Split"},
      {"pattern", {{"Regex", kPieces}}},
      {"behavior", "Isolated"},
      {"invert", false}};
  json model = {
      {"type", "BPE"},
      {"dropout", nullptr},
      {"unk_token", nullptr},
      {"continuing_subword_prefix", ""},
      {"end_of_word_suffix", ""},
      {"fuse_unk", false},
      {"byte_fallback", false},
      {"ignore_merges", false},
      {"vocab", vocab},
      {"merges", merges}};
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", json::array()},
      {"normalizer", {{"type", "NFC"}}},
      {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, bytes}}}},
      {"post_processor", nullptr},
      {"decoder", bytes},
      {"model", model}};
}

void read_vocabulary(const std::string& dir, TokenizerFiles& files) {
  auto vocab = dir + "/vocab.json", merges = dir + "/merges.txt";
  if (!fs::exists(vocab) || !fs::exists(merges)) {
    fail(dir, "no tokenizer.json, and no vocab.json with merges.txt");
  }
  auto kind = files.config.value("tokenizer_class", json("Qwen2Tokenizer"));
  if (kind != "Qwen2Tokenizer" && kind != "Qwen2TokenizerFast") {
    fail(
        dir,
        "only a Qwen2Tokenizer can be read from vocab.json and merges.txt, got " +
            kind.dump() + "; save the model with its tokenizer.json");
  }
  files.source = vocab;
  files.tokenizer = qwen2_tokenizer(read_object(vocab), read_merges(merges)).dump();
}

/// The template in the config: text, or a list of {"name","template"} with a "default".
std::optional<std::string> config_template(
    const json& config, const std::string& path) {
  auto found = config.value("chat_template", json());
  if (found.is_null()) return std::nullopt;
  if (found.is_string()) return found.get<std::string>();
  if (!found.is_array()) fail(path, "chat_template: expected text or a list");
  for (const auto& entry : found) {
    if (!entry.is_object() || entry.value("name", json()) != "default") continue;
    auto text = entry.value("template", json());
    if (text.is_string()) return text.get<std::string>();
  }
  fail(path, "chat_template: no template is named default");
}

void read_chat_template(const std::string& dir, TokenizerFiles& files) {
  files.chat_template_source = dir + "/chat_template.jinja";
  if (fs::exists(files.chat_template_source)) {
    files.chat_template = read_text(files.chat_template_source);
    return;
  }
  files.chat_template_source = dir + "/tokenizer_config.json";
  files.chat_template = config_template(files.config, files.chat_template_source);
}

}  // namespace

TokenizerFiles read_tokenizer_files(const std::string& dir) {
  TokenizerFiles files;
  files.config = read_config(dir);
  files.source = dir + "/tokenizer.json";
  if (fs::exists(files.source)) {
    files.tokenizer = read_text(files.source);
  } else {
    read_vocabulary(dir, files);
  }
  read_chat_template(dir, files);
  return files;
}

}  // namespace pupil
