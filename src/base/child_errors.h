// What a child says on its stderr, kept for people.

#pragma once

#include <cstddef>
#include <string>

namespace pupil {

/// The first megabyte goes to a file, the end is kept for messages.
class ChildErrors {
 public:
  /// Adds to the file `path`, whose folder is made when there is something to write;
  /// empty: nowhere. A file that cannot be written is left out.
  explicit ChildErrors(std::string path) : path_(std::move(path)) {}

  /// Takes all of `errors`, which is empty then.
  void take(std::string& errors);
  /// From now on another child speaks.
  void forget() { end_.clear(); }
  /// "; its stderr ends '...'" with the last line; "" where nothing was said.
  std::string ending() const;

 private:
  std::string path_, end_;
  size_t written_ = 0;  // bytes in the file, from this object
};

}  // namespace pupil
