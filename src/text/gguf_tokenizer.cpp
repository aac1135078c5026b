#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/quote.h"
#include "text/gguf_pretokenizers.h"

namespace pupil {
namespace {

using nlohmann::json;

// tokenizer.ggml.token_type
enum TokenType : int64_t { kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5 };

const GgufPretokenizer& pretokenizer_of(const GgufFile& file) {
  const auto* name = file.find<std::string>("tokenizer.ggml.pre");
  std::string known;
  for (const auto& row : kGgufPretokenizers) {
    if (row.name == (name ? *name : "default")) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  file.fail(
      "unknown pre-tokenizer " + in_quotes(*name) + ", expected one of " + known +
      "; convert the Hugging Face directory instead");
}

/// The vocabulary, checked: `types` has one entry for each token.
struct Vocabulary {
  const std::vector<std::string>& tokens;
  std::vector<int64_t> types;
  std::unordered_map<std::string, int> ids;  // without unused tokens
};

Vocabulary read_vocabulary(const GgufFile& file) {
  const auto& model = file.get<std::string>("tokenizer.ggml.model");
  if (model != "gpt2") {
    file.fail(
        "tokenizer.ggml.model, expected gpt2 (byte-level BPE), got " +
        in_quotes(model) + "; convert the Hugging Face directory instead");
  }
  Vocabulary vocabulary{
      file.get<std::vector<std::string>>("tokenizer.ggml.tokens"), {}, {}};
  const auto* types = file.find<std::vector<int64_t>>("tokenizer.ggml.token_type");
  size_t size = vocabulary.tokens.size();
  vocabulary.types = types ? *types : std::vector<int64_t>(size, 1);
  if (vocabulary.types.size() != size) {
    file.fail("expected as many token types as tokens (" + std::to_string(size) + ")");
  }
  for (size_t id = 0; id < size; ++id) {
    if (vocabulary.types[id] == kUnused) continue;
    auto [_, is_new] =
        vocabulary.ids.emplace(vocabulary.tokens[id], static_cast<int>(id));
    if (!is_new) file.fail("duplicate token " + in_quotes(vocabulary.tokens[id]));
  }
  return vocabulary;
}

// ["left", "right"] pairs; both halves and the whole must be tokens.
json read_merges(const GgufFile& file, const Vocabulary& vocabulary) {
  json merges = json::array();
  for (const auto& merge :
       file.get<std::vector<std::string>>("tokenizer.ggml.merges")) {
    size_t space = merge.find(' ', 1);
    if (space == merge.npos) file.fail("merge " + in_quotes(merge) + " is no pair");
    std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    for (const auto& token : {left, right, left + right}) {
      if (!vocabulary.ids.contains(token)) {
        file.fail(
            "merge " + in_quotes(merge) + " names " + in_quotes(token) +
            ", which is no token");
      }
    }
    merges.push_back({left, right});
  }
  return merges;
}

json added_tokens(const Vocabulary& vocabulary) {
  json added = json::array();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    int64_t type = vocabulary.types[id];
    if (type != kControl && type != kUserDefined && type != kUnknown) continue;
    added.push_back(
        {{"id", id},
         {"content", vocabulary.tokens[id]},
         {"single_word", false},
         {"lstrip", false},
         {"rstrip", false},
         {"normalized", false},
         {"special", type != kUserDefined}});
  }
  return added;
}

// Nothing, or a template that puts BOS in front.
json post_processor(const GgufFile& file, const GgufSpecialIds& ids) {
  const auto* adds_bos = file.find<int64_t>("tokenizer.ggml.add_bos_token");
  if (!adds_bos || !*adds_bos || !ids.bos) return nullptr;
  const auto& token =
      file.get<std::vector<std::string>>("tokenizer.ggml.tokens")[*ids.bos];
  auto special = [&](int type) {
    return json{{"SpecialToken", {{"id", token}, {"type_id", type}}}};
  };
  auto sequence = [](const char* name, int type) {
    return json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  return {
      {"type", "TemplateProcessing"},
      {"single", {special(0), sequence("A", 0)}},
      {"pair", {special(0), sequence("A", 0), special(1), sequence("B", 1)}},
      {"special_tokens",
       {{token, {{"id", token}, {"ids", {*ids.bos}}, {"tokens", {token}}}}}}};
}

json tokenizer_json(const GgufFile& file, const GgufSpecialIds& ids) {
  const auto& row = pretokenizer_of(file);
  auto vocabulary = read_vocabulary(file);
  json model = {
      {"type", "BPE"},
      {"dropout", nullptr},
      {"unk_token", nullptr},
      {"continuing_subword_prefix", nullptr},
      {"end_of_word_suffix", nullptr},
      {"fuse_unk", false},
      {"byte_fallback", false},
      {"ignore_merges", row.ignores_merges},
      {"vocab", vocabulary.ids},
      {"merges", read_merges(file, vocabulary)}};
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added_tokens(vocabulary)},
      {"normalizer", row.nfc ? json{{"type", "NFC"}} : json()},
      {"pre_tokenizer", gguf_pre_tokenizer(row)},
      {"post_processor", post_processor(file, ids)},
      {"decoder", byte_level_json(true, true, true)},
      {"model", std::move(model)}};
}

json special_tokens(const GgufFile& file, const GgufSpecialIds& ids) {
  const auto& tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  json map = json::object();
  if (ids.bos) map["bos_token"] = tokens[*ids.bos];
  if (!ids.eos.empty()) map["eos_token"] = tokens[ids.eos.front()];
  if (ids.pad) map["pad_token"] = tokens[*ids.pad];
  if (ids.unk) map["unk_token"] = tokens[*ids.unk];
  return map;
}

std::optional<int> special_id(const GgufFile& file, const std::string& name) {
  const auto* id = file.find<int64_t>("tokenizer.ggml." + name);
  if (!id) return std::nullopt;
  auto size = file.get<std::vector<std::string>>("tokenizer.ggml.tokens").size();
  if (*id < 0 || *id >= static_cast<int64_t>(size)) {
    file.fail(
        "tokenizer.ggml." + name + ", expected an id below " + std::to_string(size) +
        ", got " + std::to_string(*id));
  }
  return static_cast<int>(*id);
}

}  // namespace

GgufSpecialIds gguf_special_ids(const GgufFile& file) {
  GgufSpecialIds ids;
  ids.bos = special_id(file, "bos_token_id");
  ids.pad = special_id(file, "padding_token_id");
  ids.unk = special_id(file, "unknown_token_id");
  for (const char* name : {"eos_token_id", "eot_token_id"}) {
    auto id = special_id(file, name);
    if (id && std::count(ids.eos.begin(), ids.eos.end(), *id) == 0)
      ids.eos.push_back(*id);
  }
  return ids;
}

std::map<std::string, std::string> gguf_tokenizer_files(const GgufFile& file) {
  auto ids = gguf_special_ids(file);
  auto special = special_tokens(file, ids);
  json config = special;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["add_prefix_space"] = false;
  config["clean_up_tokenization_spaces"] = false;
  std::map<std::string, std::string> files;
  if (const auto* text = file.find<std::string>("tokenizer.chat_template")) {
    config["chat_template"] = *text;
    files["chat_template.jinja"] = *text;
  }
  files["tokenizer.json"] = tokenizer_json(file, ids).dump();
  files["tokenizer_config.json"] = config.dump(2) + "\n";
  files["special_tokens_map.json"] = special.dump(2) + "\n";
  return files;
}

}  // namespace pupil
