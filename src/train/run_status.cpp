#include "train/run_status.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "train/run_dir.h"

namespace pupil {

namespace {

constexpr RunState kStates[] = {
    RunState::running, RunState::finished, RunState::interrupted, RunState::failed};

}  // namespace

std::string name_of(RunState state) {
  switch (state) {
    case RunState::running:
      return "running";
    case RunState::finished:
      return "finished";
    case RunState::interrupted:
      return "interrupted";
    case RunState::failed:
      return "failed";
  }
  return "";
}

void write_status(RunDir& run, const RunStatus& status) {
  nlohmann::ordered_json json = {
      {"state", name_of(status.state)},
      {"max_steps", status.max_steps},
      {"metric_for_best_model", status.metric},
      {"message", status.message}};
  try {
    run.write("status.json", json_text(json, 2) + "\n");
  } catch (const std::exception& error) {
    run.log(error.what());
  }
}

std::optional<RunStatus> read_status(const std::filesystem::path& run_dir) {
  try {
    auto json = read_json_file((run_dir / "status.json").string());
    RunStatus status;
    auto state = json.at("state").get<std::string>();
    for (auto known : kStates) {
      if (name_of(known) == state) status.state = known;
    }
    status.max_steps = json.at("max_steps").get<int>();
    status.metric = json.at("metric_for_best_model").get<std::string>();
    status.message = json.at("message").get<std::string>();
    return status;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

bool is_at_work(const std::filesystem::path& run_dir) {
  auto path = run_dir / ".lock";
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  bool is_free = ::flock(descriptor, LOCK_SH | LOCK_NB) == 0;
  ::close(descriptor);
  return !is_free;
}

}  // namespace pupil
