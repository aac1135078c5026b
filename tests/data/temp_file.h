#pragma once

#include <filesystem>
#include <fstream>
#include <random>
#include <string>

namespace pupil {

/// A file in the temporary folder with `content`, removed at the end of the test.
struct TempFile {
  std::string path;

  explicit TempFile(const std::string& content) {
    auto name = "pupil-test-" + std::to_string(std::random_device{}()) + ".jsonl";
    path = (std::filesystem::temp_directory_path() / name).string();
    std::ofstream(path, std::ios::binary) << content;
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  ~TempFile() { std::filesystem::remove(path); }
};

/// The text of the std::invalid_argument that `f` throws; "" where it throws nothing.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

}  // namespace pupil
