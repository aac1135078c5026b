// A model directory as a whole: what its tokenizer may have that its decoder has not.

#include "models/model.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "support/temp_dir.h"
#include "support/tiny_checkpoint.h"

namespace pupil::testing {
namespace {

using nlohmann::json;
using Ids = std::vector<int>;
namespace fs = std::filesystem;

class ModelFolder : public ::testing::Test {
 protected:
  ModelFolder() { put(48); }  // as many as the tiny tokenizer has ids

  fs::path dir() const { return folder_.path() / "model"; }
  void put(int vocab_size) {
    auto config = tiny_config();
    config.vocab_size = vocab_size;
    fs::remove_all(dir());
    put_huggingface(dir(), huggingface_config(config), tiny_tensors(config, 5));
  }
  // A token of id 48, which has no row in the embedding.
  void add_token(bool is_special, const json& changes = json::object()) {
    auto config = read_json_file(dir() / "tokenizer_config.json");
    config["added_tokens_decoder"]["48"] = {
        {"content", "<new>"}, {"special", is_special}};
    config.update(changes);
    write_text(dir() / "tokenizer_config.json", config.dump());
  }
  std::string error() {
    return refusal([&] { load_model(dir()); });
  }

 private:
  TempDir folder_;
};

// Gemma 3 1B has such a token for images, fine-tunes one for padding.
TEST_F(ModelFolder, AnAddedTokenWithoutAnEmbeddingIsRefusedInTextOnly) {
  add_token(/*is_special=*/true);
  auto model = load_model(dir());
  const auto& tokenizer = model.tokenizer;
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{5, 6}));
  EXPECT_EQ(tokenizer.decode(Ids{5, 48}), "a<new>");
  auto text = refusal([&] { tokenizer.encode("ab<new>"); });
  EXPECT_TRUE(has(text, "token '<new>', id 48, has no embedding in this model of 48"));
  std::vector<Message> chat = {{"user", "a<new>"}};
  EXPECT_EQ(refusal([&] { tokenizer.chat_ids(chat, true); }), "accepted");  // as text
}

// These are recognised everywhere, also where no message may forge a turn.
TEST_F(ModelFolder, NoCallEncodesToAnIdWithoutAnEmbedding) {
  add_token(/*is_special=*/false);
  auto model = load_model(dir());
  const auto& tokenizer = model.tokenizer;
  std::vector<Message> chat = {{"user", "a<new>"}};
  for (const auto& text :
       {refusal([&] { tokenizer.encode("<new>"); }),
        refusal([&] { tokenizer.encode_plain("<new>"); }),
        refusal([&] { tokenizer.chat_ids(chat, true); })}) {
    EXPECT_TRUE(has(text, "'<new>', id 48")) << text;
  }
}

TEST_F(ModelFolder, AVocabularyLargerThanTheModelsIsOfAnotherModel) {
  put(47);
  EXPECT_TRUE(has(error(), "the tokenizer has 48 ids, the model 47"));
  add_token(true);
  EXPECT_TRUE(has(error(), "the tokenizer has 48 ids, the model 47"));
}

TEST_F(ModelFolder, AnEndWithoutAnEmbeddingIsRefused) {
  add_token(true, {{"eos_token", "<new>"}});
  EXPECT_TRUE(has(error(), "eos_token_id 48 is outside the vocabulary"));
}

}  // namespace
}  // namespace pupil::testing
