// The loader of tasks: tasks, or one line that says where the file is wrong.

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "data/tasks.h"

namespace {

std::string own_file() {
  auto name = "pupil_fuzz_tasks." + std::to_string(getpid()) + ".jsonl";
  return (std::filesystem::temp_directory_path() / name).string();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string path = own_file();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    for (const auto& task : pupil::load_tasks(path, {})) {
      if (task.id.empty() || task.prompt.empty()) abort();
    }
  } catch (const std::invalid_argument& error) {
    std::string text = error.what();
    if (!text.starts_with("[" + path)) abort();
  }
  return 0;
}
