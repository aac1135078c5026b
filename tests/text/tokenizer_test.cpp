// The tiny tokenizer of tests/support, whole and broken: ids, text, streams, files.

#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "support/files.h"
#include "support/temp_dir.h"

namespace pupil {
namespace {

using nlohmann::json;
using testing::has;
using testing::refusal;
using Ids = std::vector<int>;
namespace fs = std::filesystem;

const fs::path kTiny = fs::path(PUPIL_SOURCE_DIR) / "tests/support/tiny_tokenizer";

// How ByteLevel writes a byte: printable Latin-1 as itself, the rest from U+0100 on.
std::string written_byte(int byte) {
  static const std::vector<int> kCodes = [] {
    std::vector<int> codes(256);
    for (int b = 0, next = 256; b < 256; ++b) {
      bool itself = (b >= '!' && b <= '~') || (b >= 0xa1 && b != 0xad);
      codes[b] = itself ? b : next++;
    }
    return codes;
  }();
  int code = kCodes[byte];
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

// A tokenizer whose token b is the byte b, and 256 is "<e>".
json byte_tokenizer() {
  auto file = json::parse(testing::read_text(kTiny / "tokenizer.json"));
  file["model"]["vocab"] = json::object();
  for (int b = 0; b < 256; ++b) file["model"]["vocab"][written_byte(b)] = b;
  file["model"]["vocab"]["<e>"] = 256;
  file["added_tokens"] = {file["added_tokens"][0]};
  file["added_tokens"][0].update({{"id", 256}, {"content", "<e>"}});
  return file;
}

// That with tokens from 257 of several bytes, which begin and end inside of characters.
json torn_tokenizer() {
  auto file = byte_tokenizer();
  auto& vocab = file["model"]["vocab"];
  for (std::string bytes : {"\x82\xac", "\xac\x61", "\xe2\x82", "\xEF\xBF\xBD"}) {
    std::string token;
    for (unsigned char byte : bytes) token += written_byte(byte);
    vocab[token] = vocab.size();
  }
  return file;
}

// Llama 2's kind: token b stands for the byte b, which is written "<0x0A>"; "\u2581"
// for a blank, and the first of a text is left out.
json fallback_tokenizer() {
  auto file = byte_tokenizer();
  auto& vocab = file["model"]["vocab"] = json::object();
  for (int b = 0; b < 256; ++b) {
    char token[8];
    std::snprintf(token, sizeof token, "<0x%02X>", b);
    vocab[token] = b;
  }
  for (const char* token : {"<e>", "▁", "▁a", "b", "é", "\xEF\xBF\xBD"})
    vocab[token] = vocab.size();
  file["model"]["byte_fallback"] = true;
  file["pre_tokenizer"] = nullptr;
  file["normalizer"] = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  json blank = {{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}};
  json first = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  json steps = {blank, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}, first};
  file["decoder"] = {{"type", "Sequence"}, {"decoders", steps}};
  return file;
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder stream(tokenizer);
  std::string shown;
  for (int id : ids) shown += stream.push(id);
  return shown + stream.finish();
}

class TokenizerFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const auto& entry : fs::directory_iterator(kTiny)) {
      fs::copy(entry.path(), dir() / entry.path().filename());
    }
  }
  fs::path dir() const { return folder_.path(); }
  void write(const std::string& name, const std::string& text) {
    testing::write_text(dir() / name, text);
  }
  Tokenizer bytes() { return from(byte_tokenizer()); }
  Tokenizer from(const json& file) {
    fs::remove(dir() / "tokenizer_config.json");
    write("tokenizer.json", file.dump());
    return Tokenizer(dir());
  }
  std::string error() {
    return refusal([&] { Tokenizer tokenizer(dir()); });
  }

 private:
  testing::TempDir folder_;
};

TEST_F(TokenizerFolder, SpecialTokensAreRecognisedAndNothingIsAdded) {
  Tokenizer tokenizer(dir());
  EXPECT_EQ(tokenizer.encode("ab<eos>c"), (Ids{5, 6, 1, 7}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
  EXPECT_EQ(tokenizer.encode("<eos"), (Ids{9, 19, 23}));  // no "<" in this vocabulary
  EXPECT_EQ(tokenizer.encode_plain("ab<eos>c"), (Ids{5, 6, 9, 19, 23, 7}));
  EXPECT_EQ(tokenizer.decode(Ids{5, 6, 1, 7}), "ab<eos>c");
  EXPECT_EQ(tokenizer.decode(Ids{5, 6, 1, 7}, /*skip_special=*/true), "abc");
  EXPECT_EQ(tokenizer.vocab_size(), 48);
  EXPECT_EQ(tokenizer.eos_id(), 1);
  EXPECT_EQ(tokenizer.token_id("<|im_start|>"), 2);
  EXPECT_EQ(tokenizer.token_id("nothing"), -1);
}

TEST_F(TokenizerFolder, TextThatIsNotUtf8AndNegativeIdsAreRefused) {
  Tokenizer tokenizer(dir());
  EXPECT_TRUE(has(refusal([&] { tokenizer.encode("a\xff"); }), "not UTF-8 at byte 1"));
  EXPECT_TRUE(has(refusal([&] { tokenizer.decode(Ids{5, -1}); }), "got -1"));
  EXPECT_EQ(tokenizer.decode(Ids{5, 1 << 30}), "a");  // an id without a token
}

TEST_F(TokenizerFolder, AStreamIsTheWholeTextAndNeverHalfACharacter) {
  auto tokenizer = bytes();
  for (std::string text :
       {"plain",
        "é",
        "a🙂b",
        "🇩🇪👩‍👩‍👧",
        "\xEF\xBF\xBD real",
        "日本語<e>x",
        ""}) {
    StreamDecoder stream(tokenizer);
    std::string shown;
    for (int id : tokenizer.encode(text)) {
      shown += stream.push(id);
      // What is out is a beginning of the text that ends between two characters.
      ASSERT_EQ(text.substr(0, shown.size()), shown);
      ASSERT_TRUE(shown.size() == text.size() || (text[shown.size()] & 0xc0) != 0x80);
    }
    EXPECT_EQ(shown + stream.finish(), text);
  }
}

TEST_F(TokenizerFolder, AStreamOfBrokenBytesEqualsDecodingThemAtOnce) {
  auto tokenizer = bytes();
  const std::vector<Ids> broken = {
      {0xf0, 0x9f, 'a'},
      {0xf0, 0x9f},
      {0xff, 0xfe, 'x', 0xc3},
      {0x80, 0x80, 0xe2, 0x82, 0xac, 0xe2, 0x82},
      {0xc3, 256, 0xa9},
      {0xed, 0xa0, 0x80, ' '}};
  for (const auto& ids : broken) {
    EXPECT_EQ(streamed(tokenizer, ids), tokenizer.decode(ids));
  }
}

// A byte that does not fit spoils the whole run of byte tokens that it is in, back to
// characters that were complete: a run is text when it has ended.
TEST_F(TokenizerFolder, AStreamOfByteTokensEqualsDecodingThemAtOnce) {
  auto tokenizer = from(fallback_tokenizer());
  const int kWord = tokenizer.token_id("▁a"), kUnknown = 1000;
  EXPECT_EQ(streamed(tokenizer, {0xe2, 0x82, 0xac}), "€");
  EXPECT_EQ(streamed(tokenizer, {kWord, 0xe2, 0x82, 0xac, 0xc3, 0xa9, kWord}), "a€é a");
  StreamDecoder stream(tokenizer);
  for (int id : {kWord, 0xe2, 0x82, 0xac, 0xff}) stream.push(id);
  EXPECT_EQ(stream.push(kWord), tokenizer.decode(Ids{0xff, 0xff, 0xff, 0xff, kWord}));
  for (const Ids& ids :
       {Ids{0xe2, 0x82, 0xac, 0xff, kWord},
        {0xe2, kWord, 0x82, 0xac},
        {kWord, 0xf0, 0x9f},
        {kWord, kUnknown, kWord},
        {0xe2, kUnknown, 0x82, 0xac}}) {
    EXPECT_EQ(streamed(tokenizer, ids), tokenizer.decode(ids));
  }
}

TEST_F(TokenizerFolder, AStreamOfAnyTokensEqualsDecodingThemAtOnce) {
  std::mt19937 random(7);
  const Ids bytes = {0xe2, 0x82, 0xac, 0xc3, 0xa9, 0xf0, 0x9f, 0xff, ' ', '\n', 'x'};
  for (const auto& file : {torn_tokenizer(), fallback_tokenizer()}) {
    auto tokenizer = from(file);
    for (int sample = 0; sample < 3000; ++sample) {
      Ids ids;
      while (ids.size() < 1 + random() % 12) {
        bool is_byte = random() % 3 != 0;  // else a word, or an id without a token
        ids.push_back(is_byte ? bytes[random() % bytes.size()] : 256 + random() % 8);
      }
      ASSERT_EQ(streamed(tokenizer, ids), tokenizer.decode(ids))
          << ::testing::PrintToString(ids);
    }
  }
}

TEST_F(TokenizerFolder, VocabularyAndMergesStandInForTokenizerJson) {
  fs::remove(dir() / "tokenizer.json");
  write(
      "tokenizer_config.json", R"({"eos_token":"<e>","tokenizer_class":"Qwen2Tokenizer",
      "added_tokens_decoder":{"5":{"content":"<e>","special":true}}})");
  write("vocab.json", R"({"a":0,"b":1,"ab":2,"1":3,"Ġ":4})");
  write("merges.txt", "#version: 0.2\r\na b\r\n");
  Tokenizer tokenizer(dir());
  EXPECT_EQ(tokenizer.encode("ab ba<e>11"), (Ids{2, 4, 1, 0, 5, 3, 3}));
  EXPECT_EQ(tokenizer.decode(Ids{2, 4, 0}), "ab a");
  EXPECT_EQ(tokenizer.eos_id(), 5);
}

TEST_F(TokenizerFolder, BrokenVocabularyFilesAreRefused) {
  fs::remove(dir() / "tokenizer.json");
  EXPECT_TRUE(has(error(), "no tokenizer.json, and no vocab.json"));
  write("vocab.json", R"({"a":0,"b":1})");
  write("merges.txt", "a b\n");
  write("tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer"})");
  EXPECT_TRUE(has(error(), "GPT2Tokenizer"));
  write("tokenizer_config.json", "{}");
  EXPECT_TRUE(has(error(), "vocab.json"));  // the merge names "ab", no token
  write("merges.txt", "a b\na\n");
  EXPECT_TRUE(has(error(), "merges.txt: line 2"));
}

TEST_F(TokenizerFolder, ABrokenTokenizerJsonIsOneErrorThatNamesIt) {
  auto whole = testing::read_text(dir() / "tokenizer.json");
  std::vector<std::string> broken = {
      "",
      "null",
      "[]",
      "{}",
      "{\"model\":{}}",
      "\xff\xfe",
      std::string(100, '['),
      R"({"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})",
      R"({"model":{"type":"BPE","vocab":{"a":99999999999},"merges":[]}})",
      R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}})",
      R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["ab"]}})",
      R"({"model":{"type":"Nothing","vocab":{}}})",
      R"({"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated",
          "invert":false},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}})"};
  for (size_t cut = 1; cut < whole.size(); cut += 97) {
    broken.push_back(whole.substr(0, cut));
  }
  for (const auto& text : broken) {
    write("tokenizer.json", text);
    EXPECT_TRUE(has(error(), (dir() / "tokenizer.json").string())) << text;
  }
}

TEST_F(TokenizerFolder, ConfigurationsThatContradictTheTokenizerAreRefused) {
  for (auto [config, says] : std::vector<std::pair<const char*, const char*>>{
           {"[]", "expected a JSON object"},
           {"{", "tokenizer_config.json"},
           {R"({"eos_token":7})", "eos_token"},
           {R"({"added_tokens_decoder":{"7":{"content":"<eos>"}}})", "has id 1"},
           {R"({"added_tokens_decoder":{"x":{"content":"<n>"}}})", "token id"},
           {R"({"added_tokens_decoder":{"99":{"content":"<n>"}}})", "has id 48"},
           {R"({"added_tokens_decoder":{"48":{"content":"<n>","special":1}}})",
            "special"},
           {R"({"additional_special_tokens":5})", "expected a list"}}) {
    write("tokenizer_config.json", config);
    EXPECT_TRUE(has(error(), says)) << config;
  }
}

TEST_F(TokenizerFolder, FieldsOfAnyTypeAreReadOrRefused) {
  const std::vector<json> values = {
      nullptr,
      true,
      -1,
      1e300,
      "x",
      "",
      json::array(),
      json::object(),
      {1},
      {{"a", 1}},
      {{"content", 1}},
      {{"content", "<eos>"}, {"lstrip", "x"}},
      {{"0", {{"content", {}}}}}};
  for (const char* key :
       {"eos_token",
        "pad_token",
        "additional_special_tokens",
        "extra_special_tokens",
        "added_tokens_decoder",
        "tokenizer_class",
        "chat_template"}) {
    for (const auto& value : values) {
      write("tokenizer_config.json", json{{key, value}}.dump());
      EXPECT_NO_THROW(error()) << key << value;  // another exception than a refusal
    }
  }
  fs::remove(dir() / "tokenizer_config.json");
  for (const char* name : {"added_tokens.json", "special_tokens_map.json"}) {
    for (const auto& value : values) {
      write(name, value.dump());
      EXPECT_NO_THROW(error()) << name << value;
      write(name, json{{"eos_token", value}}.dump());
      EXPECT_NO_THROW(error()) << name << value;
    }
  }
}

TEST_F(TokenizerFolder, TokensThatOnlyTheConfigurationAddsAreRecognised) {
  write("tokenizer_config.json", R"({"eos_token":"<eos>",
      "added_tokens_decoder":{"48":{"content":"<new>","special":true}}})");
  Tokenizer tokenizer(dir());
  EXPECT_EQ(tokenizer.encode("a<new>b"), (Ids{5, 48, 6}));
  EXPECT_EQ(tokenizer.vocab_size(), 49);
}

}  // namespace
}  // namespace pupil
