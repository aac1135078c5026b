// What training changes, on its way to another process: adapter directories in mlx-lm's
// layout, written complete or not at all.

#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "models/decoder.h"

namespace pupil {

class AdapterHandover {
 public:
  /// Directories are made in `folder`, which is nobody else's and goes with it.
  /// `config_text`: of adapter_config.json.
  AdapterHandover(std::filesystem::path folder, std::string config_text)
      : folder_(std::move(folder)), config_text_(std::move(config_text)) {}
  ~AdapterHandover();
  AdapterHandover(const AdapterHandover&) = delete;
  AdapterHandover& operator=(const AdapterHandover&) = delete;

  /// The directory with the trained arrays of `model` as they are; written where the
  /// newest has others. What was written before stays until `drop_old`. Nothing is
  /// synced: a directory that a crash leaves is not read. Throws std::runtime_error.
  std::filesystem::path directory_for(const Decoder& model);

  /// Removes all directories but the newest.
  void drop_old();

  int64_t bytes_written() const { return bytes_written_; }

 private:
  bool is_new(const std::vector<mx::array>& arrays) const;
  void write(const Decoder& model);

  std::filesystem::path folder_, newest_;
  std::string config_text_;
  std::vector<mx::array>
      handed_;  // in `newest_`; held, so that nothing takes their ids
  std::vector<std::filesystem::path> old_;
  int count_ = 0;
  int64_t bytes_written_ = 0;
};

}  // namespace pupil
