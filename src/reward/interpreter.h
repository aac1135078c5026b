// The Python interpreters of this machine that a box can be built around.

#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/language.h"

namespace pupil {

/// A Python interpreter and all that it needs of the file system, found by asking it.
struct Interpreter {
  std::string path;     // the real executable: no shim, no virtual environment
  std::string version;  // "3.11.7"
  std::vector<std::string> read_only;  // absolute, real: executable, standard library,
                                       // folders of its shared libraries, the loader
  std::vector<std::pair<std::string, std::string>> links;  // {"/lib64", "usr/lib64"}
  Language tools = Language::python;  // whose tools are among `read_only` too
};

/// `python3` of the PATH first, then the system's; each once. Takes their word: a box
/// is tried before it is used. Empty if there is none of version 3.8 or newer.
std::vector<Interpreter> find_interpreters();

}  // namespace pupil
