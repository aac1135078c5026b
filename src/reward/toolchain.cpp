#include "reward/toolchain.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "base/process.h"

extern char** environ;

namespace pupil {
namespace {

namespace fs = std::filesystem;

/// The path itself, without symbolic links; empty where there is none.
std::string real_path(const std::string& path) {
  std::error_code trouble;
  const auto real = path.empty() ? fs::path() : fs::canonical(path, trouble);
  return trouble ? "" : real.string();
}

/// What `argv` prints, without the line end; empty if it fails. Trusted tools, with our
/// own environment.
std::string answer_of(std::vector<std::string> argv) {
  if (argv[0].empty()) return "";
  ProcessOptions options;
  options.argv = std::move(argv);
  for (char** entry = environ; entry && *entry; ++entry) {
    options.environment.emplace_back(*entry);
  }
  const auto result = run_process(options);
  if (result.exit_code != 0) return "";
  return result.output.substr(0, result.output.find_last_not_of("\r\n") + 1);
}

void add_existing(std::vector<std::string>& paths, const std::string& path) {
  std::error_code trouble;
  if (fs::exists(path, trouble)) paths.push_back(path);
}

/// The folders of the shared libraries that an executable is linked with.
void add_libraries(Toolchain& tools, const std::string& executable) {
  std::istringstream words(answer_of({find_program("ldd"), executable}));
  for (std::string word; words >> word;) {
    if (!word.starts_with("/")) continue;
    const std::string real = real_path(word);
    if (!real.empty()) tools.read_only.push_back(fs::path(real).parent_path());
  }
}

/// Programs, libraries and headers of the folder in which `executable`'s bin/ lies.
void add_prefix(Toolchain& tools, const std::string& executable) {
  const fs::path prefix = fs::path(executable).parent_path().parent_path();
  for (const char* folder : {"bin", "lib", "lib64", "libexec", "include"}) {
    add_existing(tools.read_only, prefix / folder);
  }
  add_existing(tools.read_only, "/etc/alternatives");
}

void find_executable(Toolchain& tools, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    tools.path = real_path(find_program(name));
    if (!tools.path.empty()) return;
  }
  tools.missing = std::string(name_of(tools.language)) + " needs `" + *names.begin() +
                  "`, which is not on the PATH";
}

void find_javascript(Toolchain& tools) {
  find_executable(tools, {"node", "nodejs"});
  if (!tools.missing.empty()) return;
  tools.read_only.push_back(tools.path);
  add_existing(tools.read_only, "/usr/share/nodejs");
  add_libraries(tools, tools.path);
}

void find_cpp(Toolchain& tools) {
  find_executable(tools, {"g++", "clang++", "c++"});
  if (!tools.missing.empty()) return;
  add_prefix(tools, tools.path);
  add_libraries(tools, tools.path);
}

/// rustup's stand-in tells where the real compiler lies. It links by way of a C++
/// compiler.
void find_rust(Toolchain& tools) {
  const Toolchain linker = find_toolchain(Language::cpp);
  find_executable(tools, {"rustc"});
  if (!tools.missing.empty()) return;
  const fs::path root = answer_of({find_program("rustc"), "--print", "sysroot"});
  tools.path = real_path(root / "bin" / "rustc");
  if (root.empty() || tools.path.empty()) {
    tools.missing = "rust needs `rustc`, which does not start";
  } else if (!linker.missing.empty()) {
    tools.missing = "rust needs a linker: " + linker.missing;
  }
  tools.linker = linker.path;
  tools.read_only = linker.read_only;
  for (const char* folder : {"bin", "lib"}) {
    add_existing(tools.read_only, root / folder);
  }
}

void find_bash(Toolchain& tools) {
  find_executable(tools, {"bash"});
  if (!tools.missing.empty()) return;
  add_existing(tools.read_only, "/usr/bin");
  add_existing(tools.read_only, "/etc/alternatives");
  add_libraries(tools, tools.path);
}

/// Without what lies in another one's folder, and each once.
std::vector<std::string> without_covered(std::vector<std::string> paths) {
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> kept;
  for (const auto& path : paths) {
    auto covers = [&](const std::string& folder) {
      return path == folder || path.starts_with(folder + "/");
    };
    if (std::none_of(kept.begin(), kept.end(), covers)) kept.push_back(path);
  }
  return kept;
}

}  // namespace

Toolchain find_toolchain(Language language) {
  Toolchain tools{.language = language};
  switch (language) {
    case Language::python:
      break;
    case Language::javascript:
      find_javascript(tools);
      break;
    case Language::cpp:
      find_cpp(tools);
      break;
    case Language::rust:
      find_rust(tools);
      break;
    case Language::bash:
      find_bash(tools);
      break;
  }
  return tools;
}

Interpreter with_tools(const Interpreter& interpreter, const Toolchain& tools) {
  Interpreter result = interpreter;
  result.tools = tools.language;
  result.read_only.insert(
      result.read_only.end(), tools.read_only.begin(), tools.read_only.end());
  result.read_only = without_covered(std::move(result.read_only));
  std::error_code trouble;
  if (fs::is_symlink("/bin", trouble)) {
    result.links.emplace_back("/bin", fs::read_symlink("/bin"));
  }
  return result;
}

}  // namespace pupil
