#pragma once

#include "base/fields.h"

namespace pupil {

/// Limits of one box in which a student's program runs.
struct SandboxConfig {
  double wall_s = 10;
  double cpu_s = 5;
  double compile_s = 30;
  int memory_mb = 512;
  int processes = 32;
  int output_kb = 64;
  bool unsafe = false;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("wall_s", self.wall_s, "wall-clock limit, in seconds", kPositive);
    f("cpu_s", self.cpu_s, "CPU limit, in seconds", kPositive);
    f("compile_s",
      self.compile_s,
      "CPU and wall-clock allowance of a compiler, in seconds, beside the program's",
      kPositive);
    f("memory_mb", self.memory_mb, "memory limit of the whole box, in MiB", Range{32});
    f("processes", self.processes, "process and thread limit", kAtLeastOne);
    f("output_kb",
      self.output_kb,
      "output limit, in KiB; a box that writes more is killed",
      kAtLeastOne);
    f("unsafe", self.unsafe, "run programs even where no boundary can be set up");
  }
};

}  // namespace pupil
