#include "hub/blob.h"

#include <stdexcept>

#include "base/file.h"
#include "base/quote.h"
#include "hub/partial_file.h"

namespace pupil {

namespace {

constexpr int kPartial = 206, kRangeRefused = 416;

std::string range_of(const HttpReply& head) {
  auto found = head.headers.find("content-range");
  return found == head.headers.end() ? "" : found->second;
}

// One try at the rest of a file.
class Attempt {
 public:
  Attempt(PartialFile& file, const BlobProgress& progress)
      : file_(file), progress_(progress), begin_(file.size()) {}

  std::vector<std::string> headers() const {
    if (begin_ == 0) return {};
    return {"Range: bytes=" + std::to_string(begin_) + "-"};
  }

  bool take(const HttpReply& head, std::string_view bytes) {
    if (!has_begun_ && !begin(head)) return false;
    file_.append(bytes);
    progress_(file_.size());
    return true;
  }

  /// Why the sink ended it, if it did.
  const std::string& trouble() const { return trouble_; }

 private:
  // The whole file in place of its rest is a server without ranges.
  bool begin(const HttpReply& head) {
    has_begun_ = true;
    if (head.status != kPartial) {
      if (file_.size() > 0) file_.restart();
      return true;
    }
    auto expected = "bytes " + std::to_string(begin_) + "-";
    if (range_of(head).starts_with(expected)) return true;
    trouble_ = "asked for " + expected + ", got " + in_quotes(range_of(head));
    return false;
  }

  PartialFile& file_;
  const BlobProgress& progress_;
  int64_t begin_;
  bool has_begun_ = false;
  std::string trouble_;
};

HttpReply get_rest(
    HubClient& client,
    const std::string& path,
    PartialFile& file,
    const HubFile& expected,
    const BlobProgress& progress) {
  Attempt attempt(file, progress);
  auto reply = client.get(
      path, attempt.headers(), [&](const HttpReply& head, std::string_view bytes) {
        return attempt.take(head, bytes);
      });
  if (!attempt.trouble().empty()) {
    file.restart();
    reply.error = attempt.trouble();
  } else if (reply.status == kRangeRefused) {
    file.restart();
    reply.error = "the hub refused to go on at a byte of the file";
  } else if (reply.status / 100 == 2 && file.size() < expected.size) {
    reply.error += reply.error.empty() ? "the file ended too early" : "";
  }
  return reply;
}

}  // namespace

void download_blob(
    HubClient& client,
    const HubCache& cache,
    const HubName& name,
    const std::string& commit,
    const HubFile& file,
    const BlobProgress& progress) {
  FileLock lock(cache.lock(file));
  if (cache.has(commit, file)) return progress(file.size);  // by who had the lock
  PartialFile partial(cache.blob(file).string() + ".incomplete", file);
  progress(partial.size());
  auto path = "/" + name.id() + "/resolve/" + commit + "/" + in_address(file.name);
  int64_t before = partial.size();
  if (partial.size() < file.size) {
    auto reply = client.with_retries(
        [&] { return get_rest(client, path, partial, file, progress); },
        [&] { return std::exchange(before, partial.size()) < partial.size(); });
    bool is_whole = reply.error.empty() && reply.status / 100 == 2;
    if (!is_whole) client.fail(reply, name, name.id() + "/" + file.name);
  }
  partial.finish(cache.blob(file));
}

}  // namespace pupil
