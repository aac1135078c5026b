// A model hub on loopback with one model, in the form of Hugging Face's.

#pragma once

#include <openssl/evp.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "support/scripted_server.h"

namespace pupil::testing {

/// The name that git gives a blob, by OpenSSL.
inline std::string git_blob_hash(const std::string& content) {
  auto text = "blob " + std::to_string(content.size()) + '\0' + content;
  unsigned char digest[20];
  EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha1(), nullptr);
  std::string hex;
  for (unsigned char byte : digest) {
    for (int half : {byte >> 4, byte & 15}) hex += "0123456789abcdef"[half];
  }
  return hex;
}

/// Serves the listing and the files of "owner/model" at `commit`; weights are LFS
/// files.
class HubServer {
 public:
  /// What to answer in place of the usual; none: the usual.
  using Hook = std::function<std::optional<ScriptedReply>(const SeenRequest&)>;

  std::string commit = std::string(40, 'c');
  std::map<std::string, std::string> files;
  Hook hook = [](const SeenRequest&) { return std::nullopt; };
  std::function<void(nlohmann::json&)> edit_listing = [](nlohmann::json&) {};

  std::string url() const { return server_.url(); }
  std::string path_of(const std::string& name) const {
    return "/owner/model/resolve/" + commit + "/" + name;
  }
  static std::string blob_of(const std::string& name, const std::string& content) {
    return is_lfs(name) ? sha256_hex(content) : git_blob_hash(content);
  }

  /// Requests so far for targets that begin so.
  std::vector<SeenRequest> seen(const std::string& target) const {
    std::vector<SeenRequest> found;
    for (auto& request : server_.seen()) {
      if (request.target.starts_with(target)) found.push_back(request);
    }
    return found;
  }
  size_t downloads() const { return seen("/owner/model/resolve/").size(); }

  /// The reply to a GET of `content`, whole or from the byte that it asks for.
  static ScriptedReply content_reply(
      const SeenRequest& request, const std::string& content) {
    auto range = request.headers.find("range");
    if (range == request.headers.end()) return {.body = content};
    size_t begin = std::stoul(range->second.substr(range->second.find('=') + 1));
    if (begin >= content.size()) return {.status = 416};
    auto size = std::to_string(content.size());
    auto last = std::to_string(content.size() - 1);
    auto place = "bytes " + std::to_string(begin) + "-" + last + "/" + size;
    return {
        .status = 206,
        .headers = {{"Content-Range", place}},
        .body = content.substr(begin)};
  }

 private:
  static bool is_lfs(const std::string& name) { return name.ends_with(".safetensors"); }

  nlohmann::json listing() const {
    nlohmann::json reply{{"id", "owner/model"}, {"sha", commit}};
    reply["siblings"] = nlohmann::json::array();
    for (const auto& [name, content] : files) {
      nlohmann::json file{
          {"rfilename", name},
          {"size", content.size()},
          {"blobId", git_blob_hash(content)}};
      if (is_lfs(name)) {
        file["blobId"] = std::string(40, 'b');  // of the pointer, as the hub has it
        file["lfs"] = {{"sha256", sha256_hex(content)}, {"size", content.size()}};
      }
      reply["siblings"].push_back(file);
    }
    edit_listing(reply);
    return reply;
  }

  ScriptedReply reply(const SeenRequest& request) const {
    if (auto other = hook(request)) return *other;
    if (request.target.starts_with("/api/models/owner/model/revision/")) {
      return {.body = listing().dump()};
    }
    for (const auto& [name, content] : files) {
      if (request.target == path_of(name)) return content_reply(request, content);
    }
    return {.status = 404, .body = "Entry not found"};
  }

  ScriptedServer server_{[this](const SeenRequest& request) { return reply(request); }};
};

}  // namespace pupil::testing
