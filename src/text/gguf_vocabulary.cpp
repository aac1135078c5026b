#include "text/gguf_vocabulary.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "base/json.h"
#include "base/quote.h"
#include "text/gguf_pretokenizers.h"
#include "text/special_tokens.h"
#include "text/tokenizer_files.h"

namespace pupil {
namespace {

using nlohmann::json;

// tokenizer.ggml.token_type
enum TokenType : int32_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

[[noreturn]] void fail(const std::string& source, const std::string& what) {
  throw std::invalid_argument("[gguf] " + source + ": " + what);
}

// What cuts text apart, without what only counts for offsets.
json cut_of(json pre_tokenizer) {
  if (!pre_tokenizer.is_object()) return pre_tokenizer;
  pre_tokenizer.erase("trim_offsets");
  if (pre_tokenizer.contains("pretokenizers"))
    for (auto& part : pre_tokenizer["pretokenizers"]) part = cut_of(part);
  return pre_tokenizer;
}

std::string pre_tokenizer_name(const json& tokenizer, const std::string& source) {
  auto cut = cut_of(tokenizer.value("pre_tokenizer", json()));
  auto normalizer = tokenizer.value("normalizer", json());
  bool ignores_merges = tokenizer["model"].value("ignore_merges", false);
  std::string known;
  for (const auto& row : kGgufPretokenizers) {
    auto expected = row.nfc ? json{{"type", "NFC"}} : json();
    if (cut == cut_of(gguf_pre_tokenizer(row)) && normalizer == expected &&
        ignores_merges == row.ignores_merges) {
      return std::string(row.name);
    }
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  fail(source, "the pre-tokenizer is none that GGUF is written with: " + known);
}

/// Tokens by id, with holes.
class Tokens {
 public:
  Tokens(int size, std::string source) : source_(std::move(source)) {
    for (int id = 0; id < size; ++id)
      tokens_.push_back("[PAD" + std::to_string(id) + "]");
    types_.assign(size, kUnused);
  }

  void set(const std::string& token, const json& id, TokenType type) {
    bool is_id = id.is_number_integer() && id >= 0 && id < tokens_.size();
    if (!is_id) {
      fail(
          source_,
          "token " + in_quotes(token) + ", expected an id below the model's " +
              std::to_string(tokens_.size()) + ", got " + id.dump());
    }
    tokens_[id.get<size_t>()] = token;
    types_[id.get<size_t>()] = type;
    ids_[token] = id;
  }

  bool has(const std::string& token) const { return ids_.contains(token); }

  uint32_t id_of(const std::string& token) const {
    auto found = ids_.find(token);
    if (found == ids_.end()) fail(source_, in_quotes(token) + " is no token");
    return static_cast<uint32_t>(found->second);
  }

  const std::vector<std::string>& tokens() const { return tokens_; }
  const std::vector<int32_t>& types() const { return types_; }

 private:
  std::string source_;
  std::vector<std::string> tokens_;
  std::vector<int32_t> types_;
  std::map<std::string, int> ids_;
};

Tokens read_tokens(
    const json& tokenizer,
    const TokenizerFiles& files,
    int size,
    const std::string& dir) {
  Tokens tokens(size, dir);
  for (const auto& [token, id] : tokenizer["model"].at("vocab").items())
    tokens.set(token, id, kNormal);
  auto own = tokenizer.value("added_tokens", json::array());
  auto add = [&](const json& added, const json& id) {
    bool is_special = added.value("special", false);
    tokens.set(added.at("content"), id, is_special ? kControl : kUserDefined);
  };
  for (const auto& added : own) add(added, added.at("id"));
  for (const auto& added : tokens_to_add(files.config, own, dir)) {
    std::string text = added.at("content");
    bool is_known = !added.contains("id") && tokens.has(text);
    if (is_known) {
      add(added, tokens.id_of(text));
    } else if (added.contains("id")) {
      add(added, added["id"]);
    } else {
      fail(dir, "token " + in_quotes(text) + " has no id; save the tokenizer anew");
    }
  }
  return tokens;
}

// "left right"; the file has pairs or such texts.
std::vector<std::string> read_merges(const json& model) {
  std::vector<std::string> merges;
  for (const auto& merge : model.at("merges")) {
    merges.push_back(
        merge.is_string()
            ? merge.get<std::string>()
            : merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>());
  }
  return merges;
}

// Whether the tokenizer puts `bos` in front of a text: by a template, alone or among
// other steps.
bool adds_bos(const json& processor, const std::string& bos) {
  if (!processor.is_object()) return false;
  for (const auto& step : processor.value("processors", json::array()))
    if (adds_bos(step, bos)) return true;
  auto single = processor.value("single", json::array());
  return !single.empty() && single[0].contains("SpecialToken") &&
         single[0]["SpecialToken"].value("id", "") == bos;
}

void put_special_ids(
    const Tokens& tokens,
    const std::map<std::string, std::string>& named,
    const std::vector<int>& eos_ids,
    GgufItems& items) {
  auto put = [&](const char* key, uint32_t id) {
    items.emplace_back(std::string("tokenizer.ggml.") + key, id);
  };
  for (auto [name, key] :
       {std::pair{"bos_token", "bos_token_id"},
        {"pad_token", "padding_token_id"},
        {"unk_token", "unknown_token_id"}}) {
    auto found = named.find(name);
    if (found != named.end()) put(key, tokens.id_of(found->second));
  }
  auto found = named.find("eos_token");
  std::vector<int> ids;
  if (found != named.end())
    ids.push_back(static_cast<int>(tokens.id_of(found->second)));
  for (int id : eos_ids)
    if (std::count(ids.begin(), ids.end(), id) == 0) ids.push_back(id);
  if (!ids.empty()) put("eos_token_id", static_cast<uint32_t>(ids[0]));
  if (ids.size() > 1) put("eot_token_id", static_cast<uint32_t>(ids[1]));
}

GgufItems vocabulary_items(
    const TokenizerFiles& files,
    const std::string& dir,
    int vocab_size,
    const std::vector<int>& eos_ids) {
  auto tokenizer = parse_json(files.tokenizer, "[gguf] " + files.source);
  const auto& model = tokenizer.at("model");
  if (model.value("type", "BPE") != "BPE" || model.value("byte_fallback", false))
    fail(dir, "expected a tokenizer of byte-level BPE");
  auto tokens = read_tokens(tokenizer, files, vocab_size, dir);
  auto named = named_tokens(files.config, dir);
  bool has_bos = named.contains("bos_token");
  auto processor = tokenizer.value("post_processor", json());
  GgufItems items = {
      {"tokenizer.ggml.model", "gpt2"},
      {"tokenizer.ggml.pre", pre_tokenizer_name(tokenizer, dir)},
      {"tokenizer.ggml.tokens", tokens.tokens()},
      {"tokenizer.ggml.token_type", tokens.types()},
      {"tokenizer.ggml.merges", read_merges(model)},
      {"tokenizer.ggml.add_bos_token",
       has_bos && adds_bos(processor, named["bos_token"])}};
  put_special_ids(tokens, named, eos_ids, items);
  if (files.chat_template)
    items.emplace_back("tokenizer.chat_template", *files.chat_template);
  return items;
}

}  // namespace

GgufItems gguf_vocabulary(
    const std::string& model_dir, int vocab_size, const std::vector<int>& eos_ids) {
  auto files = read_tokenizer_files(model_dir);
  try {
    return vocabulary_items(files, model_dir, vocab_size, eos_ids);
  } catch (const json::exception& error) {
    fail(files.source, std::string("is no tokenizer: ") + error.what());
  }
}

}  // namespace pupil
