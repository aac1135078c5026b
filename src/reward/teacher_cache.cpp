#include "reward/teacher_cache.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "base/sha256.h"

namespace pupil {

namespace {

constexpr int kApplicationId = 0x7075706C;  // "pupl": this file is ours
constexpr int kSchemaVersion = 1;

using Statement = std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)>;

// The strings outlive the statements that they are bound to.
void bind(sqlite3_stmt* statement, int index, const std::string& text) {
  sqlite3_bind_text(
      statement, index, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

std::string bytes(sqlite3_stmt* statement, int column) {
  const void* data = sqlite3_column_blob(statement, column);
  size_t size = static_cast<size_t>(sqlite3_column_bytes(statement, column));
  return data ? std::string(static_cast<const char*>(data), size) : "";
}

void make_folder(const std::string& path) {
  auto folder = std::filesystem::path(path).parent_path();
  if (folder.empty() || std::filesystem::exists(folder)) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw std::runtime_error(
        "[teacher.cache] cannot create " + folder.string() + ": " + error.message() +
        "; set teacher.cache to a file that can be written");
  }
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
  std::string path;
  std::mutex mutex;
  sqlite3* db = nullptr;

  ~State() { sqlite3_close(db); }

  [[noreturn]] void fail(const std::string& what) const {
    int code = db ? sqlite3_errcode(db) : SQLITE_NOMEM;
    std::string fix =
        code == SQLITE_NOTADB || code == SQLITE_CORRUPT
            ? "the file is damaged: move it away, a new one is made"
            : "check the disk and the file's permissions, or set teacher.cache";
    throw std::runtime_error(
        "[teacher.cache] cannot " + what + " " + path + ": " +
        (db ? sqlite3_errmsg(db) : "out of memory") + "; " + fix);
  }

  // Turning the file's mode waits for nobody by itself when two handles do it at once.
  void enter_wal() {
    constexpr auto kPatience = std::chrono::seconds(20);
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    const char* sql = "pragma journal_mode = wal";
    while (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
      const bool busy = (sqlite3_errcode(db) & 0xff) == SQLITE_BUSY;
      if (!busy || std::chrono::steady_clock::now() > deadline) fail("use");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  void run(const char* sql) {
    if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail("use");
  }

  Statement prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, nullptr) != SQLITE_OK) fail("read");
    return Statement(statement, sqlite3_finalize);
  }

  int64_t number(const char* sql) {
    Statement statement = prepare(sql);
    if (sqlite3_step(statement.get()) != SQLITE_ROW) fail("read");
    return sqlite3_column_int64(statement.get(), 0);
  }

  bool is_empty() { return number("select count(*) from sqlite_schema") == 0; }

  void open();
  void check_owner();
  void adopt();
};

void TeacherCache::State::open() {
  make_folder(path);
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path.c_str(), &db, flags, nullptr) != SQLITE_OK) fail("open");
  sqlite3_busy_timeout(db, 20000);
  chmod(path.c_str(), 0600);  // answers may quote private code; best effort
  adopt();
}

void TeacherCache::State::check_owner() {
  if (is_empty()) return;
  bool ours = number("pragma application_id") == kApplicationId;
  if (ours && number("pragma user_version") == kSchemaVersion) return;
  throw std::runtime_error(
      "[teacher.cache] " + path + " belongs to another " +
      (ours ? "version of pupil" : "program") + "; set teacher.cache to another file");
}

// A file without tables becomes a cache; any other must be one already.
void TeacherCache::State::adopt() {
  check_owner();
  enter_wal();
  run("pragma synchronous = normal");
  run("begin immediate");  // another process may do the same just now
  check_owner();
  if (is_empty()) {
    run("create table answers (key text primary key, model text not null, outcome "
        "integer"
        " not null, text text not null, input_tokens integer not null, output_tokens"
        " integer not null, request_id text not null, created integer not null)"
        " without rowid");
    run(("pragma application_id = " + std::to_string(kApplicationId)).c_str());
    run(("pragma user_version = " + std::to_string(kSchemaVersion)).c_str());
  }
  run("commit");
}

TeacherCache::TeacherCache(const std::string& path)
    : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->open();
}

TeacherCache::~TeacherCache() = default;

std::optional<CachedAnswer> TeacherCache::find(const std::string& key) {
  std::lock_guard lock(state_->mutex);
  Statement statement = state_->prepare(
      "select outcome, text, input_tokens, output_tokens, request_id from answers"
      " where key = ?");
  bind(statement.get(), 1, key);
  int step = sqlite3_step(statement.get());
  if (step == SQLITE_DONE) return std::nullopt;
  if (step != SQLITE_ROW) state_->fail("read");
  CachedAnswer answer;
  bool cut = sqlite3_column_int(statement.get(), 0) != 0;
  answer.outcome = cut ? ChatOutcome::length : ChatOutcome::ok;
  answer.text = bytes(statement.get(), 1);
  answer.usage.input_tokens = sqlite3_column_int64(statement.get(), 2);
  answer.usage.output_tokens = sqlite3_column_int64(statement.get(), 3);
  answer.request_id = bytes(statement.get(), 4);
  return answer;
}

void TeacherCache::store(
    const std::string& key, const std::string& model, const CachedAnswer& answer) {
  std::lock_guard lock(state_->mutex);
  Statement statement = state_->prepare(
      "insert or ignore into answers values (?, ?, ?, ?, ?, ?, ?, unixepoch())");
  bind(statement.get(), 1, key);
  bind(statement.get(), 2, model);
  sqlite3_bind_int(statement.get(), 3, answer.outcome == ChatOutcome::length);
  bind(statement.get(), 4, answer.text);
  sqlite3_bind_int64(statement.get(), 5, answer.usage.input_tokens);
  sqlite3_bind_int64(statement.get(), 6, answer.usage.output_tokens);
  bind(statement.get(), 7, answer.request_id);
  if (sqlite3_step(statement.get()) != SQLITE_DONE) state_->fail("write");
}

int64_t TeacherCache::size() {
  std::lock_guard lock(state_->mutex);
  return state_->number("select count(*) from answers");
}

const std::string& TeacherCache::path() const {
  return state_->path;
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
