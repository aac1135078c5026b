// Whole downloads and what the cache then holds.

#include "hub/hub.h"

#include "hub/hub_fixture.h"

namespace pupil::testing {
namespace {

TEST_F(HubTest, ADownloadEqualsTheFilesInHuggingFacesLayout) {
  auto snapshot = load();
  EXPECT_EQ(snapshot, model() / "snapshots" / hub_.commit);
  EXPECT_EQ(read_text(model() / "refs/main"), hub_.commit);
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    EXPECT_EQ(read_text(snapshot / name), hub_.files.at(name));
    EXPECT_EQ(
        fs::read_symlink(snapshot / name),
        "../../blobs/" + blob(name).filename().string());
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(snapshot), {}), 3);
  EXPECT_EQ(hub_.downloads(), 3u);
}

TEST(HubHash, IsGits) {
  // `printf 'hello\n' | git hash-object --stdin`
  EXPECT_EQ(git_blob_hash("hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
}

TEST_F(HubTest, ASecondRunAsksForNoFile) {
  load();
  load();
  EXPECT_EQ(hub_.downloads(), 3u);
  EXPECT_EQ(hub_.seen("/api/models/").size(), 2u);
}

TEST_F(HubTest, ANewCommitLoadsOnlyWhatChanged) {
  load();
  hub_.commit = std::string(40, 'd');
  hub_.files["tokenizer.json"] = "{\"new\":1}";
  auto snapshot = load();
  EXPECT_EQ(hub_.downloads(), 4u);
  EXPECT_EQ(read_text(snapshot / "tokenizer.json"), "{\"new\":1}");
  EXPECT_EQ(read_text(model() / "refs/main"), hub_.commit);
}

TEST_F(HubTest, ARevisionIsAskedForAndNoted) {
  load("owner/model@refs/pr/1");
  EXPECT_EQ(
      hub_.seen("/api/").front().target,
      "/api/models/owner/model/revision/refs%2Fpr%2F1?blobs=true");
  EXPECT_EQ(read_text(model() / "refs/refs/pr/1"), hub_.commit);
}

TEST_F(HubTest, ShardsComeWithTheirIndex) {
  hub_.files.erase("model.safetensors");
  hub_.files["model-00001-of-00002.safetensors"] = "one";
  hub_.files["model-00002-of-00002.safetensors"] = "two";
  hub_.files["model.safetensors.index.json"] =
      R"({"weight_map":{"a":"model-00001-of-00002.safetensors",)"
      R"("b":"model-00002-of-00002.safetensors"}})";
  auto snapshot = load();
  EXPECT_EQ(read_text(snapshot / "model-00002-of-00002.safetensors"), "two");
  EXPECT_EQ(hub_.downloads(), 5u);
  settings_.offline = true;
  EXPECT_EQ(load(), snapshot);
  fs::remove(blob("model-00002-of-00002.safetensors"));
  EXPECT_TRUE(has(error(), "model-00002-of-00002.safetensors is missing in the cache"));
}

TEST_F(HubTest, OfflineTheCacheAloneIsAsked) {
  auto snapshot = load();
  auto before = hub_.seen("/").size();
  settings_.offline = true;
  EXPECT_EQ(load(), snapshot);
  EXPECT_EQ(load("owner/model@" + hub_.commit), snapshot);
  EXPECT_EQ(hub_.seen("/").size(), before);
  EXPECT_TRUE(has(error("owner/model@v2"), "revision 'v2' is not in the cache"));
  EXPECT_TRUE(has(error("owner/other"), "revision 'main' is not in the cache"));
  fs::remove(snapshot / "tokenizer.json");
  EXPECT_TRUE(has(error(), "tokenizer.json is missing in the cache"));
  EXPECT_EQ(hub_.seen("/").size(), before);
}

TEST_F(HubTest, AnEmptyFileIsAFile) {
  hub_.files["merges.txt"] = "";
  EXPECT_EQ(fs::file_size(load() / "merges.txt"), 0u);
}

TEST_F(HubTest, ANameWithMarksIsWrittenAsAnAddress) {
  hub_.files.erase("model.safetensors");
  hub_.files["model a#b?.safetensors"] = "x";
  hub_.hook = [&](const SeenRequest& request) -> std::optional<ScriptedReply> {
    if (!request.target.ends_with("/model%20a%23b%3F.safetensors")) return {};
    return ScriptedReply{.body = "x"};
  };
  EXPECT_EQ(read_text(load() / "model a#b?.safetensors"), "x");
}

}  // namespace
}  // namespace pupil::testing
