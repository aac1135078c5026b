#include "hub/hub.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "hub/blob.h"
#include "hub/cache.h"
#include "hub/client.h"
#include "hub/download_bar.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestListing = 64 << 20;

HubListing read_listing(HubClient& client, const HubName& name) {
  std::string text;
  auto path = "/api/models/" + name.id() + "/revision/" + in_address(name.revision) +
              "?blobs=true";
  auto reply = client.with_retries(
      [&] {
        text.clear();
        return client.get(path, {}, [&](const HttpReply&, std::string_view bytes) {
          text += bytes;
          if (text.size() <= kLongestListing) return true;
          throw std::invalid_argument(
              "[hub] " + name.id() +
              ": the hub's listing is longer than 64 MB; check HF_ENDPOINT");
        });
      },
      [] { return false; });
  bool is_whole = reply.error.empty() && reply.status / 100 == 2;
  if (!is_whole) client.fail(reply, name, name.id());
  return parse_listing(text, name.id());
}

std::vector<HubFile> files_to_load(const HubCache& cache, const HubListing& listing) {
  std::vector<HubFile> files;
  for (const auto& file : listing.files) {
    if (!cache.has(listing.commit, file)) files.push_back(file);
  }
  return files;
}

std::string gigabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

// A download that cannot end well does not begin.
void check_space(const HubCache& cache, const std::vector<HubFile>& files) {
  uint64_t needed = 0;
  for (const auto& file : files) {
    std::error_code none;
    auto there = fs::file_size(cache.blob(file).string() + ".incomplete", none);
    needed += file.size - (none ? 0 : std::min<uint64_t>(there, file.size));
  }
  std::error_code unknown;
  auto folder = cache.blob(files.front()).parent_path();
  auto free = fs::space(folder, unknown).available;
  if (unknown || needed <= free) return;
  throw std::runtime_error(
      "[hub] " + folder.string() + ": no space for the download, which needs " +
      gigabytes(needed) + ", free are " + gigabytes(free) +
      "; HF_HOME names another place for the cache");
}

void load(
    HubClient& client,
    const HubCache& cache,
    const HubName& name,
    const std::string& commit,
    const std::vector<HubFile>& files) {
  if (files.empty()) return;
  cache.make_folders();
  check_space(cache, files);
  DownloadBar bar(files);
  for (const auto& file : files) {
    bar.start(file);
    download_blob(
        client, cache, name, commit, file, [&](int64_t bytes) { bar.update(bytes); });
  }
}

std::string cached_model(const HubCache& cache, const HubName& name) {
  auto where = "[hub] " + name.id() + ": ";
  auto commit = cache.commit();
  if (commit.empty()) {
    throw std::runtime_error(
        where + "revision '" + name.revision + "' is not in the cache (" +
        cache.snapshot("").parent_path().string() +
        "), and HF_HUB_OFFLINE allows no download; unset it");
  }
  auto snapshot = cache.snapshot(commit);
  if (auto missing = missing_in(snapshot); !missing.empty()) {
    throw std::runtime_error(
        where + missing + " is missing in the cache (" + snapshot.string() +
        "), and HF_HUB_OFFLINE allows no download; unset it");
  }
  return snapshot;
}

}  // namespace

std::string hub_model(const HubName& name, const HubSettings& settings) {
  HubCache cache(settings.cache, name);
  if (settings.offline) return cached_model(cache, name);
  HubClient client(settings);
  auto listing = read_listing(client, name);
  load(client, cache, name, listing.commit, files_to_load(cache, listing));
  for (const auto& file : listing.files) cache.link(listing.commit, file);
  cache.set_commit(listing.commit);
  return cache.snapshot(listing.commit);
}

}  // namespace pupil
