#include "hub/settings.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <stdexcept>

#include "base/file.h"
#include "base/secret.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;

// The first of these variables that is not empty.
std::string variable(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (auto value = variable_or_secret(name); !value.empty()) return value;
  }
  return "";
}

fs::path home() {
  auto home = variable({"HOME"});
  if (home.empty()) {
    throw std::invalid_argument(
        "[hub] HOME is not set, so there is no place for the cache; set HF_HOME");
  }
  return home;
}

fs::path expanded(const std::string& path) {
  return path.starts_with("~/") ? home() / path.substr(2) : fs::path(path);
}

fs::path hub_home() {
  if (auto path = variable({"HF_HOME"}); !path.empty()) return expanded(path);
  if (auto path = variable({"XDG_CACHE_HOME"}); !path.empty()) {
    return expanded(path) / "huggingface";
  }
  return home() / ".cache/huggingface";
}

fs::path cache_folder() {
  auto path = variable({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
  return fs::absolute(path.empty() ? hub_home() / "hub" : expanded(path));
}

bool is_true(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return std::toupper(c);
  });
  return text == "1" || text == "ON" || text == "YES" || text == "TRUE";
}

std::string without_blanks(const std::string& text) {
  auto first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string token() {
  auto token = without_blanks(variable({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}));
  std::string from = "HF_TOKEN";
  if (token.empty()) {
    auto path = variable({"HF_TOKEN_PATH"});
    auto file = path.empty() ? hub_home() / "token" : expanded(path);
    token = without_blanks(read_available(file));
    from = file.string();
  }
  bool can_be_sent = std::all_of(
      token.begin(), token.end(), [](unsigned char c) { return c > ' ' && c < 127; });
  if (!can_be_sent) {
    throw std::invalid_argument(
        "[hub] " + from + ": expected a token of plain characters, such as hf_...");
  }
  return token;
}

}  // namespace

HubSettings hub_settings() {
  HubSettings settings;
  if (auto endpoint = variable({"HF_ENDPOINT"}); !endpoint.empty()) {
    settings.endpoint = endpoint;
  }
  settings.cache = cache_folder();
  settings.offline = is_true(variable({"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}));
  if (!settings.offline) settings.token = token();
  return settings;
}

}  // namespace pupil
