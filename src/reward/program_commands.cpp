#include "reward/program_commands.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "reward/grading_notes.h"
#include "reward/toolchain.h"

namespace pupil {
namespace {

using Words = std::vector<std::string>;

constexpr const char* kBinary = "/tmp/program";

// What `site` would have put there, and the program as a main module.
constexpr const char* kRunPython =
    "import builtins, sys\n"
    "builtins.exit = builtins.quit = sys.exit\n"
    "source = sys.argv.pop()\n"
    "if source == '/tmp/program.py':\n"
    "    sys.argv[0] = source\n"
    "    with open(source, encoding='utf-8') as file: source = file.read()\n"
    "exec(compile(source, 'program.py', 'exec'), {'__name__': '__main__'})\n";

const char* file_of(Language language) {
  switch (language) {
    case Language::python:
      return "program.py";
    case Language::javascript:
      return "program.js";
    case Language::cpp:
      return "program.cpp";
    case Language::rust:
      return "program.rs";
    case Language::bash:
      return "program.sh";
  }
  return "";
}

/// Without /proc rustc cannot tell where it lies and thus where its libraries are.
Words rustc(const Toolchain& tools, const std::string& source) {
  const auto root = std::filesystem::path(tools.path).parent_path().parent_path();
  return {
      "/usr/bin/env",
      "LD_LIBRARY_PATH=" + (root / "lib").string(),
      tools.path,
      "--sysroot",
      root.string(),
      "--edition=2021",
      "-Copt-level=1",
      "-Ccodegen-units=1",
      "-Cstrip=symbols",
      "-Clinker=" + tools.linker,
      "-o",
      kBinary,
      source};
}

/// An interpreter with the file, or with the code itself.
Words interpreted(
    Words words, bool has_file, const char* inline_flag, const std::string& what) {
  if (!has_file && *inline_flag) words.emplace_back(inline_flag);
  words.push_back(what);
  return words;
}

}  // namespace

ProgramCommands commands_for(
    const Sandbox& sandbox, Language language, const std::string& code) {
  const bool writes = sandbox.has_scratch_folder();
  const auto& tools = sandbox.toolchain(language);
  const std::string path = std::string("/tmp/") + file_of(language);
  const std::string& what = writes ? path : code;
  ProgramCommands commands{
      .file = writes ? file_of(language) : "", .compile = {}, .run = {}};
  switch (language) {
    case Language::python:
      commands.run = interpreted(
          {sandbox.python_path(), "-s", "-S", "-B", "-c", kRunPython},
          writes,
          "",
          what);
      break;
    case Language::javascript: {
      const int heap_mb = std::max(16, sandbox.config().memory_mb * 3 / 4);
      commands.run = interpreted(
          {tools.path,
           "--openssl-config=/dev/null",  // the system's is out of sight
           "--max-old-space-size=" + std::to_string(heap_mb)},
          writes,
          "-e",
          what);
      break;
    }
    case Language::bash:
      commands.run = interpreted({tools.path}, writes, "-c", what);
      break;
    case Language::cpp:
      commands.compile = {tools.path, "-std=c++20", "-O1", "-o", kBinary, path};
      commands.run = {kBinary};
      break;
    case Language::rust:
      commands.compile = rustc(tools, path);
      commands.run = {kBinary};
      break;
  }
  return commands;
}

std::string missing_tools(const Sandbox& sandbox, Language language) {
  const auto& tools = sandbox.toolchain(language);
  if (!tools.missing.empty()) return tools.missing;
  const bool writes = language == Language::cpp || language == Language::rust;
  if (writes && !sandbox.has_scratch_folder()) {
    return std::string(name_of(language)) +
           " needs bubblewrap, for a folder to compile in";
  }
  return "";
}

std::string echo_program(Language language) {
  switch (language) {
    case Language::python:
      return "print(input())\n";
    case Language::javascript:
      return "process.stdin.on('data', d => process.stdout.write(d));\n";
    case Language::cpp:
      return "#include <iostream>\n#include <string>\n"
             "int main() { std::string s; std::getline(std::cin, s); "
             "std::cout << s << '\\n'; }\n";
    case Language::rust:
      return "fn main() { let mut s = String::new(); "
             "std::io::stdin().read_line(&mut s).unwrap(); print!(\"{s}\"); }\n";
    case Language::bash:
      return "read line\necho \"$line\" | cat\n";
  }
  return "";
}

std::string first_error(const std::string& words) {
  std::istringstream lines(words);
  std::string first;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("error") != std::string::npos) return one_line(line);
    if (first.empty()) first = line;
  }
  return one_line(first);
}

}  // namespace pupil
