#include "reward/sqlite_file.h"

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

namespace pupil {

namespace {

void make_folder(const std::string& path, const SqliteLayout& layout) {
  auto folder = std::filesystem::path(path).parent_path();
  if (folder.empty() || std::filesystem::exists(folder)) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw std::runtime_error(
        "[" + std::string(layout.where) + "] cannot create " + folder.string() + ": " +
        error.message() + "; " + layout.fix);
  }
}

}  // namespace

SqliteFile::SqliteFile(std::string path, const SqliteLayout& layout)
    : path_(std::move(path)), layout_(layout) {
  try {
    open();
  } catch (...) {
    sqlite3_close(db_);
    throw;
  }
}

SqliteFile::~SqliteFile() {
  sqlite3_close(db_);
}

void SqliteFile::fail(const std::string& what) const {
  int code = db_ ? sqlite3_errcode(db_) : SQLITE_NOMEM;
  std::string fix =
      code == SQLITE_NOTADB || code == SQLITE_CORRUPT
          ? "the file is damaged: move it away, a new one is made"
          : std::string("check the disk and the file's permissions, or ") + layout_.fix;
  throw std::runtime_error(
      "[" + std::string(layout_.where) + "] cannot " + what + " " + path_ + ": " +
      (db_ ? sqlite3_errmsg(db_) : "out of memory") + "; " + fix);
}

// Turning the file's mode waits for nobody by itself when two handles do it at once.
void SqliteFile::enter_wal() {
  constexpr auto kPatience = std::chrono::seconds(20);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const char* sql = "pragma journal_mode = wal";
  while (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    const bool busy = (sqlite3_errcode(db_) & 0xff) == SQLITE_BUSY;
    if (!busy || std::chrono::steady_clock::now() > deadline) fail("use");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void SqliteFile::run(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail("use");
}

SqliteStatement SqliteFile::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) != SQLITE_OK) fail("read");
  return {statement, sqlite3_finalize};
}

int64_t SqliteFile::number(const char* sql) {
  SqliteStatement statement = prepare(sql);
  if (sqlite3_step(statement.get()) != SQLITE_ROW) fail("read");
  return sqlite3_column_int64(statement.get(), 0);
}

bool SqliteFile::is_empty() {
  return number("select count(*) from sqlite_schema") == 0;
}

void SqliteFile::open() {
  make_folder(path_, layout_);
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path_.c_str(), &db_, flags, nullptr) != SQLITE_OK) fail("open");
  sqlite3_busy_timeout(db_, 20000);
  chmod(path_.c_str(), 0600);  // answers may quote private code; best effort
  adopt();
}

void SqliteFile::check_owner() {
  if (is_empty()) return;
  bool ours = number("pragma application_id") == layout_.application_id;
  if (ours && number("pragma user_version") == layout_.version) return;
  throw std::runtime_error(
      "[" + std::string(layout_.where) + "] " + path_ + " belongs to another " +
      (ours ? "version of pupil" : "program") + "; " + layout_.fix);
}

// A file without tables becomes ours; any other must be ours already.
void SqliteFile::adopt() {
  check_owner();
  enter_wal();
  run("pragma synchronous = normal");
  run("begin immediate");  // another process may do the same just now
  check_owner();
  if (is_empty()) {
    run(layout_.tables);
    std::string id = "pragma application_id = ", version = "pragma user_version = ";
    run((id + std::to_string(layout_.application_id)).c_str());
    run((version + std::to_string(layout_.version)).c_str());
  }
  run("commit");
}

void bind_text(const SqliteStatement& statement, int index, const std::string& text) {
  sqlite3_bind_text(
      statement.get(),
      index,
      text.data(),
      static_cast<int>(text.size()),
      SQLITE_STATIC);
}

std::string column_bytes(const SqliteStatement& statement, int column) {
  const void* data = sqlite3_column_blob(statement.get(), column);
  auto size = static_cast<size_t>(sqlite3_column_bytes(statement.get(), column));
  return data ? std::string(static_cast<const char*>(data), size) : "";
}

}  // namespace pupil
