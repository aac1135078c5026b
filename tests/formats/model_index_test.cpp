#include "formats/model_index.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace pupil {
namespace {

namespace fs = std::filesystem;

class ModelIndex : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("pupil_index_" + std::to_string(getpid()));
    dir_ = root_ / "models" / "snapshots" / "main";
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text = "x") {
    std::ofstream(dir_ / name) << text;
  }
  std::vector<std::string> names() {
    std::vector<std::string> result;
    for (const auto& path : model_shards(dir_)) {
      EXPECT_EQ(fs::path(path).parent_path(), dir_);
      result.push_back(fs::path(path).filename());
    }
    return result;
  }
  std::string error() {
    try {
      model_shards(dir_);
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "accepted";
  }
  std::string error_of_index(const std::string& text) {
    write("model.safetensors.index.json", text);
    return error();
  }

  fs::path root_, dir_;
};

TEST_F(ModelIndex, PrefersTheSingleFileThenTheIndexThenThePattern) {
  write("model-b.safetensors");
  write("model-a.safetensors");
  write("other.safetensors");
  EXPECT_EQ(
      names(),
      (std::vector<std::string>{"model-a.safetensors", "model-b.safetensors"}));
  write(
      "model.safetensors.index.json",
      R"({"weight_map":{"x":"other.safetensors","y":"model-a.safetensors","z":"other.safetensors"}})");
  EXPECT_EQ(
      names(), (std::vector<std::string>{"model-a.safetensors", "other.safetensors"}));
  write("model.safetensors");
  EXPECT_EQ(names(), (std::vector<std::string>{"model.safetensors"}));
}

TEST_F(ModelIndex, RejectsNamesThatAreNotPlainFiles) {
  fs::create_directories(dir_ / "sub");
  write("sub/a.safetensors");
  for (const char* name :
       {"sub/a.safetensors",
        "../a",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a\\\\b",
        "a\\u0000b"}) {
    auto text = std::string(R"({"weight_map":{"x":")") + name + "\"}}";
    EXPECT_NE(error_of_index(text).find("plain file name"), std::string::npos) << name;
  }
}

TEST_F(ModelIndex, RejectsIndexesOfAnotherShape) {
  for (const char* text :
       {"",
        "[]",
        "{",
        "{}",
        R"({"weight_map":[]})",
        R"({"weight_map":{}})",
        R"({"weight_map":{"x":1}})"}) {
    EXPECT_NE(error_of_index(text), "accepted") << text;
  }
}

TEST_F(ModelIndex, RejectsNestingWithoutEnd) {
  std::string lists(200000, '['), ends(200000, ']');
  auto error = error_of_index("{\"weight_map\":{\"x\":" + lists + ends + "}}");
  EXPECT_NE(error.find("nested deeper than 64"), std::string::npos) << error;
}

TEST_F(ModelIndex, RejectsMissingFiles) {
  EXPECT_NE(error().find("no safetensors file"), std::string::npos);
  auto text = R"({"weight_map":{"x":"gone.safetensors"}})";
  EXPECT_NE(error_of_index(text).find("gone.safetensors"), std::string::npos);
  EXPECT_THROW(model_shards(dir_ / "nowhere"), std::invalid_argument);
}

TEST_F(ModelIndex, FollowsLinksInsideTheCacheOnly) {
  fs::create_directories(root_ / "models" / "blobs");
  std::ofstream(root_ / "models" / "blobs" / "abc") << "x";
  fs::create_symlink("../../blobs/abc", dir_ / "model.safetensors");
  EXPECT_EQ(names(), (std::vector<std::string>{"model.safetensors"}));
  fs::remove(dir_ / "model.safetensors");
  std::ofstream(root_ / "secret") << "x";
  fs::create_symlink("../../../secret", dir_ / "model.safetensors");
  EXPECT_NE(error().find("leads out"), std::string::npos) << error();
}

}  // namespace
}  // namespace pupil
