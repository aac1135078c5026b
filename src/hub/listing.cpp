#include "hub/listing.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "base/json_depth.h"
#include "base/quote.h"
#include "formats/model_index.h"

namespace pupil {

namespace {

using nlohmann::json;

constexpr std::string_view kWhole = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

[[noreturn]] void fail(const std::string& model, const std::string& what) {
  throw std::invalid_argument("[hub] " + model + ": " + what);
}

// "a/b.txt": no way up, no root, nothing that a file system could take for a border.
bool stays_inside(const std::string& name) {
  bool is_plain = !name.empty() && name.front() != '/' && name.back() != '/' &&
                  std::none_of(name.begin(), name.end(), [](unsigned char c) {
                    return std::iscntrl(c) || c == '\\';
                  });
  if (!is_plain) return false;
  std::string walled = "/" + name + "/";
  for (const char* step : {"//", "/./", "/../"}) {
    if (walled.find(step) != walled.npos) return false;
  }
  return true;
}

std::string text_at(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const json& list_of_files(const json& reply, const std::string& model) {
  if (!reply.is_object()) {
    fail(model, "the hub's reply is no JSON object; check HF_ENDPOINT");
  }
  auto siblings = reply.find("siblings");
  if (siblings == reply.end() || !siblings->is_array()) {
    fail(model, "the hub's reply has no list \"siblings\"; check HF_ENDPOINT");
  }
  return *siblings;
}

std::set<std::string> checked_names(const json& siblings, const std::string& model) {
  std::set<std::string> names;
  for (const auto& sibling : siblings) {
    auto name = sibling.is_object() ? text_at(sibling, "rfilename") : "";
    if (!stays_inside(name)) {
      fail(
          model,
          "the hub lists a file " + in_quotes(name) +
              ", expected a path inside the model; nothing was downloaded");
    }
    if (!names.insert(name).second) {
      fail(model, "the hub lists " + in_quotes(name) + " twice");
    }
  }
  return names;
}

bool is_wanted(const std::string& name, const std::set<std::string>& all) {
  if (name.find('/') != name.npos) return false;
  if (name == "config.json" || name == kWhole) return true;
  if (std::find(std::begin(kTextFiles), std::end(kTextFiles), name) !=
      std::end(kTextFiles)) {
    return true;
  }
  if (all.contains(std::string(kWhole))) return false;
  return name == kIndex ||
         (name.starts_with("model") && name.ends_with(".safetensors"));
}

HubFile read_file(const json& sibling, const std::string& model) {
  HubFile file{text_at(sibling, "rfilename"), text_at(sibling, "blobId")};
  auto lfs = sibling.value("lfs", json());
  file.is_lfs = lfs.is_object();
  if (file.is_lfs) file.blob = text_at(lfs, "sha256");
  auto size = (file.is_lfs ? lfs : sibling).value("size", json());
  bool has_size = size.is_number_unsigned() && size < (uint64_t{1} << 50);
  if (!is_hex(file.blob, file.is_lfs ? 64 : 40) || !has_size) {
    fail(
        model,
        "the hub gives no size and hash of " + in_quotes(file.name) +
            ", so it could not be checked; use another HF_ENDPOINT");
  }
  file.size = size.get<int64_t>();
  return file;
}

void check_complete(
    const HubListing& listing,
    const std::set<std::string>& all,
    const std::string& model) {
  auto any = [](const auto& names, auto&& holds) {
    return std::any_of(names.begin(), names.end(), holds);
  };
  auto ends_in = [](const char* end) {
    return [=](const std::string& name) { return name.ends_with(end); };
  };
  bool has_weights = any(listing.files, [](const auto& file) {
    return file.name.ends_with(".safetensors");
  });
  if (!has_weights && any(all, ends_in(".gguf"))) {
    fail(
        model,
        "has no model*.safetensors but GGUF files; download one of them and give its "
        "path");
  }
  if (!has_weights) fail(model, "has no model*.safetensors, which hold the weights");
  if (!all.contains("config.json")) fail(model, "has no config.json");
}

}  // namespace

bool is_hex(const std::string& text, size_t digits) {
  return text.size() == digits &&
         text.find_first_not_of("0123456789abcdef") == text.npos;
}

HubListing parse_listing(std::string_view reply, const std::string& model) {
  if (is_nested_too_deep(reply)) {
    fail(
        model,
        std::string("the hub's reply is ") + kNestedTooDeep + "; check HF_ENDPOINT");
  }
  auto parsed = json_or_discarded(reply);
  const auto& siblings = list_of_files(parsed, model);
  HubListing listing{text_at(parsed, "sha"), {}};
  if (!is_hex(listing.commit, kCommitDigits)) {
    fail(model, "the hub's reply has no commit \"sha\"; check HF_ENDPOINT");
  }
  auto all = checked_names(siblings, model);
  for (const auto& sibling : siblings) {
    if (!is_wanted(text_at(sibling, "rfilename"), all)) continue;
    listing.files.push_back(read_file(sibling, model));
  }
  check_complete(listing, all, model);
  return listing;
}

}  // namespace pupil
