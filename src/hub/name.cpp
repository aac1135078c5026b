#include "hub/name.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>
#include <string_view>

#include "base/quote.h"

namespace pupil {

namespace {

constexpr size_t kLongestName = 96, kLongestRevision = 255;

bool has_only(std::string_view text, std::string_view marks) {
  return std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return (c < 128 && std::isalnum(c)) || marks.find(c) != marks.npos;
  });
}

// huggingface_hub's rules (validate_repo_id), which also keep "--" free as the mark
// between the parts of a folder's name.
bool is_part(std::string_view text) {
  if (text.empty() || !has_only(text, "-_.")) return false;
  for (char end : {text.front(), text.back()}) {
    if (end == '-' || end == '.') return false;
  }
  return text.find("--") == text.npos && text.find("..") == text.npos;
}

bool is_revision(std::string_view text) {
  if (text.empty() || text.size() > kLongestRevision) return false;
  if (!has_only(text, "-_./+")) return false;
  if (text.front() == '/' || text.back() == '/' || text.front() == '-') return false;
  return text.find("..") == text.npos && text.find("//") == text.npos &&
         text.find("/.") == text.npos && text.front() != '.';
}

bool is_file_name(std::string_view text) {
  return text.ends_with(".gguf") || text.ends_with(".safetensors");
}

}  // namespace

bool is_hub_name(const std::string& text) {
  std::string_view name = text;
  name = name.substr(0, name.find('@'));
  auto slash = name.find('/');
  if (slash == name.npos || name.size() > kLongestName || is_file_name(name)) {
    return false;
  }
  return is_part(name.substr(0, slash)) && is_part(name.substr(slash + 1));
}

HubName parse_hub_name(const std::string& text, const std::string& revision) {
  auto fail = [&](const std::string& what) {
    throw std::invalid_argument("[hub] " + in_quotes(text, 120) + ": " + what);
  };
  if (!is_hub_name(text)) fail("expected OWNER/MODEL or OWNER/MODEL@REVISION");
  auto at = text.find('@'), slash = text.find('/');
  HubName name{text.substr(0, slash), text.substr(slash + 1, at - slash - 1)};
  if (at != text.npos) name.revision = text.substr(at + 1);
  if (!revision.empty()) {
    if (at != text.npos && name.revision != revision) {
      fail("has another revision than --revision " + in_quotes(revision));
    }
    name.revision = revision;
  }
  if (!is_revision(name.revision)) {
    fail(
        "revision " + in_quotes(name.revision) +
        ", expected a branch, a tag or a commit");
  }
  return name;
}

}  // namespace pupil
