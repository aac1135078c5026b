// Ids, chats and rendered templates equal Hugging Face's (tests/golden/tokens.json,
// made by tools/make_token_golden.py).

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/sha256.h"
#include "support/files.h"
#include "support/temp_dir.h"
#include "text/chat_template.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer.h"

namespace pupil {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

const fs::path kSource = PUPIL_SOURCE_DIR;

const json& golden() {
  static const json file = read_json_file(kSource / "tests/golden/tokens.json");
  return file;
}

std::vector<Message> messages_of(const json& list) {
  std::vector<Message> messages;
  for (const auto& entry : list) {
    messages.push_back({entry.at("role"), entry.at("content")});
  }
  return messages;
}

std::string repeated(const json& row) {
  std::string once = row.at("text"), text;
  for (int i = row.value("repeat", 1); i > 0; --i) text += once;
  return text;
}

std::string joined(const std::vector<int>& ids) {
  std::string text;
  for (int id : ids) {
    if (!text.empty()) text += ',';
    text += std::to_string(id);
  }
  return text;
}

void expect_ids(const std::vector<int>& ids, const json& expected) {
  if (expected.is_array()) {
    EXPECT_EQ(json(ids), expected);
    return;
  }
  EXPECT_EQ(ids.size(), expected.at("count"));
  EXPECT_EQ(sha256_hex(joined(ids)), expected.at("sha256").get<std::string>());
}

void expect_texts(const Tokenizer& tokenizer, const std::string& name) {
  for (const auto& row : golden().at("texts")) {
    SCOPED_TRACE(row.at("text").dump());
    expect_ids(tokenizer.encode(repeated(row)), row.at(name));
  }
}

void expect_chats(const Tokenizer& tokenizer, const std::string& name) {
  for (const auto& row : golden().at("chats")) {
    SCOPED_TRACE(row.dump());
    auto messages = messages_of(row.at("messages"));
    bool prompt = row.at("add_generation_prompt");
    EXPECT_EQ(json(tokenizer.chat_text(messages, prompt)), row.at(name).at("text"));
    EXPECT_EQ(json(tokenizer.chat_ids(messages, prompt)), row.at(name).at("ids"));
  }
}

// Text comes back as it was, but for what the normaliser changes before encoding.
void expect_texts_come_back(const Tokenizer& tokenizer, bool normalizes) {
  for (const auto& row : golden().at("texts")) {
    auto text = repeated(row);
    auto back = tokenizer.decode(tokenizer.encode(text));
    if (normalizes && back != text) {
      text = tokenizer.decode(tokenizer.encode(back));
    }
    EXPECT_EQ(back, text);
  }
}

class QwenTokenizer : public ::testing::Test {
 protected:
  void SetUp() override {
    folder = kSource.parent_path() / "shared/data/qwen2.5-coder-tokenizer";
    if (!fs::exists(folder)) GTEST_SKIP() << "there is no " << folder;
  }
  fs::path folder;
};

TEST_F(QwenTokenizer, TextsAndChatsEqualHuggingFaces) {
  Tokenizer tokenizer(folder);
  expect_texts(tokenizer, "qwen2.5-coder");
  expect_chats(tokenizer, "qwen2.5-coder");
  expect_texts_come_back(tokenizer, /*normalizes=*/true);
}

TEST_F(QwenTokenizer, VocabularyAndMergesAloneGiveTheSameIds) {
  testing::TempDir copy;
  for (const char* name :
       {"vocab.json", "merges.txt", "tokenizer_config.json", "chat_template.jinja"}) {
    fs::copy(folder / name, copy.path() / name);
  }
  Tokenizer tokenizer(copy.path());
  expect_texts(tokenizer, "qwen2.5-coder");
  expect_chats(tokenizer, "qwen2.5-coder");
}

// The default student's, from the GGUF file as `pupil convert` takes it.
class StudentTokenizer : public ::testing::Test {
 protected:
  void SetUp() override {
    auto gguf = kSource / "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (!fs::exists(gguf)) GTEST_SKIP() << "there is no " << gguf << "; run make demo";
    for (const auto& [name, text] : gguf_tokenizer_files(GgufFile(gguf))) {
      testing::write_text(folder.path() / name, text);
    }
  }
  testing::TempDir folder;
};

TEST_F(StudentTokenizer, TextsAndChatsEqualHuggingFaces) {
  Tokenizer tokenizer(folder.path());
  expect_texts(tokenizer, "smollm2");
  expect_chats(tokenizer, "smollm2");
  expect_texts_come_back(tokenizer, /*normalizes=*/false);
}

TEST(ChatTemplateGolden, TemplatesRenderAsInTransformers) {
  auto messages = messages_of(golden().at("template_messages"));
  std::map<std::string, std::string> variables = golden().at("template_variables");
  ASSERT_GE(golden().at("templates").size(), 20u);
  for (const auto& row : golden().at("templates")) {
    SCOPED_TRACE(row.at("template").dump());
    ChatTemplate chat("test", row.at("template"), variables, {});
    EXPECT_EQ(json(chat.text(messages, true)), row.at("text"));
  }
}

}  // namespace
}  // namespace pupil
