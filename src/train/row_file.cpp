#include "train/row_file.h"

#include <exception>
#include <stdexcept>

namespace pupil {

std::string RowFile::append(std::string_view bytes) {
  waiting_ += bytes;
  try {
    write_waiting();
    return "";
  } catch (const std::nested_exception&) {
    throw;  // half a row: the rest of it must not come again
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

void RowFile::sync() {
  write_waiting();
  file_.sync();
}

void RowFile::write_waiting() {
  if (waiting_.empty()) return;
  file_.append(waiting_);
  waiting_.clear();
}

}  // namespace pupil
