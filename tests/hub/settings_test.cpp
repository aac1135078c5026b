// Names and environment variables.

#include "hub/settings.h"

#include <cstdlib>

#include "hub/download_bar.h"
#include "hub/hub_fixture.h"

namespace pupil::testing {
namespace {

TEST(HubName, IsOwnerAndModel) {
  auto name = parse_hub_name("Qwen/Qwen2.5-Coder-3B-Instruct");
  EXPECT_EQ(name.id(), "Qwen/Qwen2.5-Coder-3B-Instruct");
  EXPECT_EQ(name.revision, "main");
  EXPECT_EQ(parse_hub_name("a/b@v1.0").revision, "v1.0");
  EXPECT_EQ(parse_hub_name("a/b", "refs/pr/2").revision, "refs/pr/2");
  EXPECT_EQ(parse_hub_name("a/b@x", "x").revision, "x");
}

TEST(HubName, HasNotTheFormOfAPath) {
  for (std::string text :
       {"",
        "model",
        "/a/b",
        "./a",
        "../b",
        "a/b/c",
        "a/",
        "a/..",
        "~/a",
        "a--b/c",
        "a/b.gguf",
        "a/b.safetensors",
        "a b/c",
        "a/b\n"}) {
    EXPECT_FALSE(is_hub_name(text)) << text;
    EXPECT_TRUE(has(refusal([&] { parse_hub_name(text); }), "expected OWNER/MODEL"));
  }
}

TEST(HubName, HasOneRevisionOfPlainCharacters) {
  for (std::string revision :
       {"..", "a/../b", "/a", "a/", "a//b", ".a", "a b", "a?b"}) {
    auto text = refusal([&] { parse_hub_name("a/b", revision); });
    EXPECT_TRUE(has(text, "expected a branch, a tag or a commit")) << revision;
  }
  EXPECT_TRUE(has(refusal([] { parse_hub_name("a/b@"); }), "expected a branch"));
  EXPECT_TRUE(has(refusal([] { parse_hub_name("a/b@x", "y"); }), "another revision"));
}

class HubEnvironment : public ::testing::Test {
 protected:
  HubEnvironment() {
    for (const char* name : kNames) {
      const char* value = std::getenv(name);
      before_.push_back(value ? std::optional<std::string>(value) : std::nullopt);
      unsetenv(name);
    }
    set("HOME", home_.path());
  }
  ~HubEnvironment() override {
    for (size_t i = 0; i < before_.size(); ++i) {
      before_[i] ? setenv(kNames[i], before_[i]->c_str(), 1) : unsetenv(kNames[i]);
    }
  }
  static void set(const char* name, const std::string& value) {
    setenv(name, value.c_str(), 1);
  }

  TempDir home_;

 private:
  static constexpr const char* kNames[] = {
      "HOME",
      "HF_HOME",
      "XDG_CACHE_HOME",
      "HF_HUB_CACHE",
      "HUGGINGFACE_HUB_CACHE",
      "HF_ENDPOINT",
      "HF_TOKEN",
      "HUGGING_FACE_HUB_TOKEN",
      "HF_TOKEN_PATH",
      "HF_HUB_OFFLINE",
      "TRANSFORMERS_OFFLINE"};
  std::vector<std::optional<std::string>> before_;
};

TEST_F(HubEnvironment, PlacesTheCacheAsHuggingFaceDoes) {
  EXPECT_EQ(hub_settings().cache, home_.path() / ".cache/huggingface/hub");
  set("XDG_CACHE_HOME", "/xdg");
  EXPECT_EQ(hub_settings().cache, "/xdg/huggingface/hub");
  set("HF_HOME", "~/hf");
  EXPECT_EQ(hub_settings().cache, home_.path() / "hf/hub");
  set("HF_HUB_CACHE", "/cache");
  EXPECT_EQ(hub_settings().cache, "/cache");
}

TEST_F(HubEnvironment, HasTheTokenOrItsFile) {
  EXPECT_EQ(hub_settings().token, "");
  write_text(home_.path() / ".cache/huggingface/token", "hf_file\n");
  EXPECT_EQ(hub_settings().token, "hf_file");
  set("HF_TOKEN", " hf_variable ");
  EXPECT_EQ(hub_settings().token, "hf_variable");
  set("HF_TOKEN", "hf_a\r\nX-Other: b");
  EXPECT_TRUE(has(refusal([] { hub_settings(); }), "[hub] HF_TOKEN: expected a token"));
}

TEST_F(HubEnvironment, ChoosesTheHubOrNone) {
  EXPECT_EQ(hub_settings().endpoint, "https://huggingface.co");
  EXPECT_FALSE(hub_settings().offline);
  set("HF_ENDPOINT", "https://hub.example/");
  set("HF_HUB_OFFLINE", "1");
  EXPECT_EQ(hub_settings().endpoint, "https://hub.example/");
  EXPECT_TRUE(hub_settings().offline);
}

TEST(DownloadBar, SaysHowTheFileComesOn) {
  EXPECT_EQ(file_note("a", 0, 0, 0, 1), "a 100 %");
  EXPECT_EQ(file_note("a", 50, 200, 0, 1), "a 25 %");
  // 4 MB of fresh bytes in 2 s; 10 MB are left
  EXPECT_EQ(file_note("a", 30e6, 40e6, 4e6, 2), "a 75 % 2.0 MB/s 0:05 left");
}

}  // namespace
}  // namespace pupil::testing
