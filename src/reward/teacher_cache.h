// The teacher's good answers on disk, one SQLite file shared by runs and processes:
// what was paid for once is not paid for again.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reward/chat_api.h"

namespace pupil {

/// What shapes an answer beside the request itself.
struct CacheVersions {
  std::string_view rubric;  // empty: the answer is not judged
  std::string_view parser;
  int64_t sample = 0;  // which of several answers to one request
};

/// The key of an answer: SHA-256 over length-prefixed fields: the version of this list,
/// provider, address, model, system text, every message, temperature, max_tokens, JSON
/// schema, rubric and parser version, sample, and log-probabilities where asked for.
/// Not in it: keys, time-outs, retries, and the marks of judge_data.h, which are drawn
/// when a request is sent.
std::string cache_key(
    const ChatEndpoint& endpoint,
    const ChatRequest& request,
    const CacheVersions& versions);

/// A stored answer.
struct CachedAnswer {
  ChatOutcome outcome = ChatOutcome::ok;  // ok or length
  std::string text;
  ChatUsage usage;
  std::string request_id;
};

/// An answer as it lies in the file.
struct CachedRow {
  std::string key, model;
  int64_t created = 0;  // seconds since 1970
  CachedAnswer answer;
};

/// What one model's answers amount to.
struct CacheUse {
  std::string model;
  int64_t answers = 0;
  ChatUsage usage;                 // what they cost when they were asked for
  int64_t oldest = 0, newest = 0;  // seconds since 1970
  int64_t text_characters = 0;
};

/// An open cache file. Safe to use from many threads; other processes may use the file
/// at the same time. A process that is killed loses nothing that was stored.
class TeacherCache {
 public:
  /// Opens or creates the file, readable by its owner only. Throws std::runtime_error
  /// if it cannot, if the file is damaged, or if it is something else than such a
  /// cache.
  explicit TeacherCache(const std::string& path);
  ~TeacherCache();

  /// Throws std::runtime_error if the file cannot be read.
  std::optional<CachedAnswer> find(const std::string& key);

  /// Throws std::runtime_error if the file cannot be written.
  void store(
      const std::string& key, const std::string& model, const CachedAnswer& answer);

  int64_t size();

  /// Row by model, in their order. Throws as `find` does.
  std::vector<CacheUse> usage();

  /// Visits every answer, the oldest first. Throws as `find` does, and what `visit`
  /// throws.
  void each(const std::function<void(const CachedRow&)>& visit);

  /// Removes the answers of `model` (empty: of all) that were stored before the time
  /// `before`, in seconds since 1970, and gives their space back. Returns how many.
  /// Throws as `store` does.
  int64_t prune(int64_t before, const std::string& model);

  const std::string& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// `configured`, else $XDG_CACHE_HOME/pupil/teacher.sqlite, else
/// ~/.cache/pupil/teacher.sqlite. Throws std::invalid_argument if there is no home.
std::string cache_path(
    const std::optional<std::string>& configured, const Environment& environment);

}  // namespace pupil
