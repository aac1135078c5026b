#include "app/collect_file.h"

#include <filesystem>
#include <sstream>

#include "base/json.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string heading(const std::string& fingerprint) {
  return json_text(Json{{"collect", fingerprint}}) + "\n";
}

// The lines after the heading, as far as each is whole; empty: of another run.
std::string whole_lines(const std::string& text, const std::string& head) {
  if (!text.starts_with(head)) return "";
  size_t end = head.size();
  while (true) {
    size_t next = text.find('\n', end);
    if (next == std::string::npos) break;
    auto line = text.substr(end, next - end);
    if (!Json::accept(line)) break;
    end = next + 1;
  }
  return text.substr(0, end);
}

}  // namespace

CollectFile::CollectFile(std::string out, const std::string& fingerprint)
    : out_(std::move(out)), part_(out_ + ".part") {
  lock_ = std::make_unique<FileLock>(out_ + ".lock");
  std::string head = heading(fingerprint), kept;
  if (fs::exists(part_)) kept = whole_lines(read_file(part_), head);
  goes_on_ = !kept.empty();
  if (!goes_on_) kept = head;
  for (char c : kept) num_tasks_ += c == '\n';
  --num_tasks_;  // the heading
  write_file_atomically(part_, kept);
  file_ = std::make_unique<AppendFile>(part_);
}

void CollectFile::add(const Json& rows) {
  file_->append(json_text(rows) + "\n");
  ++num_tasks_;
}

size_t CollectFile::publish() {
  std::istringstream lines(read_file(part_));
  std::string text, line;
  size_t count = 0;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    for (const auto& row : Json::parse(line)) {
      text += json_text(row) + "\n";
      ++count;
    }
  }
  write_file_atomically(out_, text);
  file_.reset();
  fs::remove(part_);
  fs::remove(out_ + ".lock");
  return count;
}

}  // namespace pupil
