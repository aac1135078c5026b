#include "reward/teacher_cache.h"

#include <mutex>
#include <stdexcept>

#include "base/sha256.h"
#include "reward/sqlite_file.h"

namespace pupil {

namespace {

constexpr SqliteLayout kLayout{
    .where = "teacher.cache",
    .fix = "set teacher.cache to another file",
    .application_id = 0x7075706C,  // "pupl"
    .version = 1,
    .tables =
        "create table answers (key text primary key, model text not null,"
        " outcome integer not null, text text not null, input_tokens integer not"
        " null, output_tokens integer not null, request_id text not null,"
        " created integer not null) without rowid"};

// Columns `first` and on of a row: outcome, text, input_tokens, output_tokens,
// request_id.
CachedAnswer answer_in(const SqliteStatement& row, int first) {
  CachedAnswer answer;
  bool cut = sqlite3_column_int(row.get(), first) != 0;
  answer.outcome = cut ? ChatOutcome::length : ChatOutcome::ok;
  answer.text = column_bytes(row, first + 1);
  answer.usage.input_tokens = sqlite3_column_int64(row.get(), first + 2);
  answer.usage.output_tokens = sqlite3_column_int64(row.get(), first + 3);
  answer.request_id = column_bytes(row, first + 4);
  return answer;
}

}  // namespace

std::string cache_key(
    const ChatEndpoint& endpoint,
    const ChatRequest& request,
    const CacheVersions& versions) {
  Sha256 hash;
  hash.field("pupil-teacher-1");
  hash.field(static_cast<int64_t>(endpoint.provider)).field(endpoint.url);
  hash.field(endpoint.model).field(request.system);
  hash.field(static_cast<int64_t>(request.messages.size()));
  for (const auto& message : request.messages) {
    hash.field(message.role).field(message.content);
  }
  hash.field(request.temperature).field(static_cast<int64_t>(request.max_tokens));
  hash.field(request.json_schema).field(versions.rubric).field(versions.parser);
  hash.field(versions.sample);
  if (request.top_logprobs > 0) hash.field(static_cast<int64_t>(request.top_logprobs));
  return hash.hex();
}

struct TeacherCache::State {
  SqliteFile file;
  std::mutex mutex;

  explicit State(const std::string& path) : file(path, kLayout) {}
};

TeacherCache::TeacherCache(const std::string& path)
    : state_(std::make_unique<State>(path)) {}

TeacherCache::~TeacherCache() = default;

std::optional<CachedAnswer> TeacherCache::find(const std::string& key) {
  std::lock_guard lock(state_->mutex);
  auto row = state_->file.prepare(
      "select outcome, text, input_tokens, output_tokens, request_id from answers"
      " where key = ?");
  bind_text(row, 1, key);
  int step = sqlite3_step(row.get());
  if (step == SQLITE_DONE) return std::nullopt;
  if (step != SQLITE_ROW) state_->file.fail("read");
  return answer_in(row, 0);
}

void TeacherCache::store(
    const std::string& key, const std::string& model, const CachedAnswer& answer) {
  std::lock_guard lock(state_->mutex);
  auto row = state_->file.prepare(
      "insert or ignore into answers values (?, ?, ?, ?, ?, ?, ?, unixepoch())");
  bind_text(row, 1, key);
  bind_text(row, 2, model);
  sqlite3_bind_int(row.get(), 3, answer.outcome == ChatOutcome::length);
  bind_text(row, 4, answer.text);
  sqlite3_bind_int64(row.get(), 5, answer.usage.input_tokens);
  sqlite3_bind_int64(row.get(), 6, answer.usage.output_tokens);
  bind_text(row, 7, answer.request_id);
  if (sqlite3_step(row.get()) != SQLITE_DONE) state_->file.fail("write");
}

int64_t TeacherCache::size() {
  std::lock_guard lock(state_->mutex);
  return state_->file.number("select count(*) from answers");
}

std::vector<CacheUse> TeacherCache::usage() {
  std::lock_guard lock(state_->mutex);
  auto row = state_->file.prepare(
      "select model, count(*), sum(input_tokens), sum(output_tokens), min(created),"
      " max(created), sum(length(text)) from answers group by model order by model");
  std::vector<CacheUse> out;
  int step;
  while ((step = sqlite3_step(row.get())) == SQLITE_ROW) {
    auto number = [&](int column) { return sqlite3_column_int64(row.get(), column); };
    out.push_back(
        {column_bytes(row, 0),
         number(1),
         {number(2), number(3)},
         number(4),
         number(5),
         number(6)});
  }
  if (step != SQLITE_DONE) state_->file.fail("read");
  return out;
}

void TeacherCache::each(const std::function<void(const CachedRow&)>& visit) {
  std::lock_guard lock(state_->mutex);
  auto row = state_->file.prepare(
      "select key, model, created, outcome, text, input_tokens, output_tokens,"
      " request_id from answers order by created, key");
  int step;
  while ((step = sqlite3_step(row.get())) == SQLITE_ROW) {
    visit(
        {column_bytes(row, 0),
         column_bytes(row, 1),
         sqlite3_column_int64(row.get(), 2),
         answer_in(row, 3)});
  }
  if (step != SQLITE_DONE) state_->file.fail("read");
}

int64_t TeacherCache::prune(int64_t before, const std::string& model) {
  std::lock_guard lock(state_->mutex);
  int64_t removed = 0;
  {
    auto row = state_->file.prepare(
        "delete from answers where created < ? and (model = ? or ? = '')");
    sqlite3_bind_int64(row.get(), 1, before);
    bind_text(row, 2, model);
    bind_text(row, 3, model);
    if (sqlite3_step(row.get()) != SQLITE_DONE) state_->file.fail("write");
    removed = sqlite3_changes64(state_->file.handle());
  }
  state_->file.run("vacuum");
  state_->file.run("pragma wal_checkpoint(truncate)");
  return removed;
}

const std::string& TeacherCache::path() const {
  return state_->file.path();
}

std::string cache_path(
    const std::optional<std::string>& configured, const Environment& environment) {
  if (configured) return *configured;
  std::string folder = environment("XDG_CACHE_HOME");
  std::string home = environment("HOME");
  if (folder.empty() && home.empty()) {
    throw std::invalid_argument(
        "[teacher.cache] there is no home directory to keep the cache in; set "
        "teacher.cache to a file");
  }
  if (folder.empty()) folder = home + "/.cache";
  return folder + "/pupil/teacher.sqlite";
}

}  // namespace pupil
