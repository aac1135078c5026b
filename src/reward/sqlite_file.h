// One SQLite file of ours: opened, recognised, in WAL mode. Its owner serialises calls.

#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>

namespace pupil {

using SqliteStatement = std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)>;

/// What makes a file ours, and how a new one is laid out.
struct SqliteLayout {
  const char* where;  // "teacher.cache": the beginning of errors
  const char* fix;    // what to set where the file cannot be used
  int application_id;
  int version;
  const char* tables;  // SQL that creates them
};

/// A process that is killed loses nothing that was written. Every error is a
/// std::runtime_error that names the file.
class SqliteFile {
 public:
  /// Opens or creates the file, readable by its owner only. Throws if it cannot, if the
  /// file is damaged, or if it is something else.
  SqliteFile(std::string path, const SqliteLayout& layout);
  ~SqliteFile();
  SqliteFile(const SqliteFile&) = delete;
  SqliteFile& operator=(const SqliteFile&) = delete;

  SqliteStatement prepare(const char* sql);
  /// Runs SQL that has no result.
  void run(const char* sql);
  /// The first column of the first row.
  int64_t number(const char* sql);
  [[noreturn]] void fail(const std::string& what) const;
  sqlite3* handle() const { return db_; }
  const std::string& path() const { return path_; }

 private:
  void open();
  void enter_wal();
  void check_owner();
  void adopt();
  bool is_empty();

  std::string path_;
  SqliteLayout layout_;
  sqlite3* db_ = nullptr;
};

/// Binds text, which must outlive the statement.
void bind_text(const SqliteStatement& statement, int index, const std::string& text);

/// The bytes of a column of the current row.
std::string column_bytes(const SqliteStatement& statement, int column);

}  // namespace pupil
