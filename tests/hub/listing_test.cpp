// Replies of a hub that cannot be trusted.

#include "hub/listing.h"

#include "hub/hub_fixture.h"

namespace pupil::testing {
namespace {

TEST_F(HubTest, NamesThatLeadOutOfTheModelAreRefused) {
  for (std::string name :
       {"../config.json",
        "/etc/passwd",
        "a/../../b",
        "a/..",
        "..",
        ".",
        "a//b",
        "a\\b",
        "",
        "a\nb"}) {
    hub_.edit_listing = [&](nlohmann::json& reply) {
      reply["siblings"].push_back({{"rfilename", name}});
    };
    EXPECT_TRUE(has(error(), "expected a path inside the model")) << name;
    EXPECT_EQ(hub_.downloads(), 0u);
    EXPECT_FALSE(fs::exists(settings_.cache));
  }
}

TEST_F(HubTest, HashesAreNames) {
  for (std::string hash : {"../../../x", "", "ABCDEF", "0123"}) {
    hub_.edit_listing = [&](nlohmann::json& reply) {
      for (auto& file : reply["siblings"]) file["blobId"] = hash;
    };
    EXPECT_TRUE(has(error(), "gives no size and hash of 'config.json'")) << hash;
  }
  hub_.edit_listing = [&](nlohmann::json& reply) { reply["sha"] = "../../x"; };
  EXPECT_TRUE(has(error(), "no commit"));
}

TEST_F(HubTest, ARevisionWithoutAModelSaysWhatItLacks) {
  hub_.files.erase("config.json");
  EXPECT_TRUE(has(error(), "[hub] owner/model: has no config.json"));
  hub_.files.erase("model.safetensors");
  EXPECT_TRUE(has(error(), "has no model*.safetensors, which hold the weights"));
  hub_.files["model.Q4_1.gguf"] = "x";
  EXPECT_TRUE(has(error(), "but GGUF files"));
}

TEST(Listing, ThatIsNone) {
  for (std::string reply : {"", "<html>", "[]", "null", "\"x\"", "{\"siblings\":"}) {
    auto text = refusal([&] { parse_listing(reply, "a/b"); });
    EXPECT_TRUE(has(text, "[hub] a/b: the hub's reply is no JSON object")) << reply;
  }
  for (std::string reply : {"{}", R"({"siblings":3})"}) {
    auto text = refusal([&] { parse_listing(reply, "a/b"); });
    EXPECT_TRUE(has(text, "no list \"siblings\"")) << reply;
  }
  for (std::string sibling : {"3", "{}", R"({"rfilename":7})"}) {
    auto reply = R"({"sha":")" + std::string(40, 'a') + R"(","siblings":[)" + sibling;
    auto text = refusal([&] { parse_listing(reply + "]}", "a/b"); });
    EXPECT_TRUE(has(text, "expected a path inside the model")) << sibling;
  }
}

TEST(Listing, ThatIsNestedWithoutEnd) {
  std::string lists(200000, '['), ends(200000, ']');
  auto reply = R"({"siblings":[{"rfilename":"config.json","lfs":{"x":)" + lists + ends;
  auto text = refusal([&] { parse_listing(reply + "}}]}", "a/b"); });
  EXPECT_TRUE(has(text, "[hub] a/b: the hub's reply is nested deeper than 64"));
}

TEST_F(HubTest, AnEndlessListingIsCutOff) {
  hub_.hook = [](const SeenRequest&) {
    return ScriptedReply{.padding = size_t{65} << 20};
  };
  EXPECT_TRUE(has(error(), "listing is longer than 64 MB"));
  EXPECT_EQ(hub_.seen("/").size(), 1u);
}

}  // namespace
}  // namespace pupil::testing
