#include "reward/sandbox_boundary.h"

#ifdef __APPLE__

namespace pupil {
namespace {

/// Denies everything but running this interpreter and reading its files.
std::string seatbelt_profile(const Interpreter& interpreter) {
  std::string profile =
      "(version 1)(deny default)(deny network*)(deny mach-lookup)"
      "(allow process-fork)(allow sysctl-read)(allow signal (target same-sandbox))"
      "(allow file-read-metadata)"
      "(allow file-read* (literal \"/\") (literal \"/dev/null\")"
      " (literal \"/dev/urandom\") (subpath \"/usr/lib\") (subpath "
      "\"/System/Library\"))"
      "(allow file-write-data (literal \"/dev/null\"))";
  for (const auto& path : interpreter.read_only) {
    const std::string where = " (subpath \"" + path + "\")";
    profile += "(allow file-read*" + where + ")(allow file-map-executable" + where +
               ")(allow process-exec*" + where + ")";
  }
  return profile;
}

}  // namespace

BoundaryPlan plan_seatbelt(const Interpreter& interpreter) {
  BoundaryPlan plan{.boundary = Boundary::seatbelt};
  const std::string tool = find_program("/usr/bin/sandbox-exec");
  plan.confine =
      [tool, interpreter, profile = seatbelt_profile(interpreter)](
          ProcessOptions& options, const std::vector<std::string>& arguments, BoxUser) {
        options.argv = {tool, "-p", profile, interpreter.path};
        options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
        options.environment = box_environment();
      };
  return plan;
}

}  // namespace pupil

#else

namespace pupil {

BoundaryPlan plan_seatbelt(const Interpreter&) {
  return {.boundary = Boundary::seatbelt, .missing = "Seatbelt is for macOS"};
}

}  // namespace pupil

#endif
