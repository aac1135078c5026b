// A hub with a small model, and an empty cache.

#pragma once

#include <gtest/gtest.h>

#include "hub/hub.h"
#include "support/files.h"
#include "support/hub_server.h"
#include "support/temp_dir.h"

namespace pupil::testing {

namespace fs = std::filesystem;

class HubTest : public ::testing::Test {
 protected:
  HubTest() {
    hub_.files = {
        {"config.json", "{\"model_type\":\"llama\"}"},
        {"tokenizer.json", "{}"},
        {"model.safetensors", std::string(100000, 'w')},
        {"README.md", "not for a conversion"},
        {"onnx/model.safetensors", "neither"}};
    settings_.endpoint = hub_.url();
    settings_.cache = folder_.path() / "hub";
    settings_.retry_pause_s = 0.001;
    settings_.stall_s = 2;
  }

  fs::path load(const std::string& name = "owner/model") {
    return hub_model(parse_hub_name(name), settings_);
  }
  /// What it complains of, in one line; then no part of a file has a whole file's name.
  std::string error(const std::string& name = "owner/model") {
    std::string text = "accepted";
    try {
      load(name);
    } catch (const std::exception& error) {
      text = error.what();
      EXPECT_EQ(text.find('\n'), text.npos) << text;
      EXPECT_EQ(text.find('['), 0u) << text;
    }
    for (const auto& path : blobs()) expect_whole_or_incomplete(path);
    return text;
  }
  fs::path model() const { return settings_.cache / "models--owner--model"; }
  fs::path blob(const std::string& name) const {
    return model() / "blobs" / HubServer::blob_of(name, hub_.files.at(name));
  }
  std::vector<fs::path> blobs() const {
    std::vector<fs::path> paths;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(model() / "blobs", none)) {
      paths.push_back(entry.path());
    }
    return paths;
  }
  /// The usual reply to the requests for `name`, changed.
  void change(const std::string& name, std::function<void(ScriptedReply&)> how) {
    hub_.hook = [=, this](const SeenRequest& request) -> std::optional<ScriptedReply> {
      if (request.target != hub_.path_of(name)) return std::nullopt;
      auto reply = HubServer::content_reply(request, hub_.files.at(name));
      how(reply);
      return reply;
    };
  }

  TempDir folder_;
  HubServer hub_;
  HubSettings settings_;

 private:
  void expect_whole_or_incomplete(const fs::path& path) const {
    if (path.extension() == ".incomplete") return;
    auto text = read_text(path);
    std::string name = path.filename();
    EXPECT_TRUE(name == sha256_hex(text) || name == git_blob_hash(text)) << path;
  }
};

}  // namespace pupil::testing
