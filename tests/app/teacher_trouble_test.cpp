// A run whose teacher is away, too dear, or watched for its key; through the
// executable, with a scripted server on loopback.

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <mutex>
#include <sstream>

#include "app/grading_server.h"
#include "app/tiny_world.h"
#include "reward/teacher_ledger.h"
#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

ScriptedReply hung_up() {
  ScriptedReply reply;
  reply.silent = reply.reset = true;
  return reply;
}

class TeacherTrouble : public ::testing::Test {
 protected:
  // `pupil COMMAND -c config.yaml` with a teacher at `url`.
  std::vector<std::string> arguments(
      const std::string& url, std::vector<std::string> more = {}) const {
    std::vector<std::string> all = {
        "train",
        "-c",
        "config.yaml",
        "--reward.functions=[{name: teacher}]",
        "--teacher.provider=openai",
        "--teacher.model=judge-1",
        "--teacher.max_retries=0",
        "--teacher.max_concurrency=1",
        "--teacher.cache=cache.sqlite",
        "--teacher.base_url=" + url};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  ProcessResult run(const std::string& url, std::vector<std::string> more = {}) const {
    return RunningPupil(world_.at(""), arguments(url, std::move(more))).finish();
  }

  std::string adapter(const std::string& run) const {
    return world_.read(run + "/adapters/adapters.safetensors");
  }

  TinyWorld world_;
};

TEST_F(TeacherTrouble, TrainingWaitsForATeacherThatIsDown) {
  std::atomic<bool> down = false;
  ScriptedServer server([&](const SeenRequest& request) {
    if (request.index == 4) down = true;
    return down ? hung_up() : judged(request);
  });
  RunningPupil pupil(world_.at(""), arguments(server.url()));
  ASSERT_TRUE(pupil.wait_for("the teacher is down for"));
  down = false;
  auto waited = pupil.finish();
  ASSERT_EQ(waited.exit_code, 0) << waited.output;
  EXPECT_TRUE(has(waited.output, "judge-1 is down"));
  EXPECT_TRUE(has(waited.output, "is back after"));
  ScriptedServer calm(judged);
  auto whole = run(calm.url(), {"--logging.run_dir=whole", "--teacher.cache=:memory:"});
  ASSERT_EQ(whole.exit_code, 0) << whole.output;
  EXPECT_EQ(adapter("run"), adapter("whole"));
  EXPECT_EQ(world_.read("run/rollouts.jsonl"), world_.read("whole/rollouts.jsonl"));
}

TEST_F(TeacherTrouble, AfterTooLongItSavesAndStops) {
  std::atomic<int> left = 10;
  ScriptedServer server([&](const SeenRequest& request) {
    return left-- > 0 ? judged(request) : hung_up();
  });
  auto stopped =
      run(server.url(), {"--teacher.max_outage_s=1", "--train.max_steps=40"});
  EXPECT_EQ(stopped.exit_code, 3) << stopped.output;
  EXPECT_TRUE(has(stopped.output, "the teacher is down for 0:0"));
  EXPECT_TRUE(has(stopped.output, "teacher.max_outage_s"));
  EXPECT_TRUE(fs::exists(world_.at("run/checkpoints"))) << stopped.output;
  left = 1 << 20;
  auto resumed = run(server.url(), {"--resume", "run", "--train.max_steps=4"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
}

TEST_F(TeacherTrouble, TheCapStopsARunThatGoesOnWithAHigherOne) {
  ScriptedServer server(judged);
  std::vector<std::string> priced = {
      "--teacher.price_per_mtok_in=10",
      "--teacher.price_per_mtok_out=10",
      "--teacher.max_tokens=100",
      "--train.max_steps=6"};
  auto with_cap = [&](const char* cap, bool resume) {
    auto more = priced;
    more.push_back(std::string("--teacher.max_cost_usd=") + cap);
    if (resume) more.insert(more.end(), {"--resume", "run"});
    return run(server.url(), more);
  };
  auto unpriced = run(server.url(), {"--teacher.max_cost_usd=1"});
  EXPECT_EQ(unpriced.exit_code, 1);
  EXPECT_TRUE(has(unpriced.output, "teacher.price_per_mtok_in"));
  EXPECT_FALSE(fs::exists(world_.at("run")));
  EXPECT_EQ(server.count(), 0u);

  const char* kCap = "0.012";  // 12 calls; the whole run needs twice as many
  auto stopped = with_cap(kCap, false);
  EXPECT_EQ(stopped.exit_code, 3) << stopped.output;
  EXPECT_TRUE(has(stopped.output, "[teacher.max_cost_usd]"));
  auto spent = SpendingLedger(world_.at("run/teacher.sqlite")).total();
  EXPECT_EQ(spent.requests, static_cast<int64_t>(server.count()));
  EXPECT_LE(spent.usd, std::stod(kCap));
  EXPECT_EQ(with_cap(kCap, true).exit_code, 3);  // still spent

  auto resumed = with_cap("5", true);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
  spent = SpendingLedger(world_.at("run/teacher.sqlite")).total();
  EXPECT_GE(spent.requests, 20);
  EXPECT_EQ(spent.requests, static_cast<int64_t>(server.count()));
  EXPECT_EQ(spent.usage.input_tokens, 90 * spent.requests);
  EXPECT_EQ(spent.usage.output_tokens, 10 * spent.requests);
}

TEST_F(TeacherTrouble, WithoutAKeyNothingBegins) {
  auto run = world_.run(
      "train -c config.yaml --teacher.provider=anthropic --teacher.model=judge-1 "
      "--hardware.mlx_model_path=/no/such/model");
  EXPECT_TRUE(failed(run, 1, "the environment variable ANTHROPIC_API_KEY is not set"));
  EXPECT_FALSE(fs::exists(world_.at("run")));
}

std::string file_bytes(const fs::path& folder) {
  std::string all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) all += read_text(entry.path());
  }
  return all;
}

std::string parent_of(const std::string& pid) {
  auto stat = read_text("/proc/" + pid + "/stat");
  std::istringstream after(stat.substr(std::min(stat.rfind(')') + 1, stat.size())));
  std::string state, parent;
  after >> state >> parent;
  return parent;
}

// The processes that `parent` has started, and theirs.
std::vector<std::string> descendants(const std::string& parent) {
  std::vector<std::string> all, found = {parent};
  for (const auto& entry : fs::directory_iterator("/proc")) {
    auto name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") == name.npos) all.push_back(name);
  }
  for (size_t i = 0; i < found.size(); ++i) {
    for (const auto& pid : all) {
      if (parent_of(pid) == found[i]) found.push_back(pid);
    }
  }
  return found;
}

// The server says back whatever it was sent, and looks at the process meanwhile.
TEST_F(TeacherTrouble, TheKeyLeavesByNoOtherWay) {
  std::atomic<pid_t> process = 0;
  std::string environments, limits;
  std::mutex mutex;
  ScriptedServer server([&](const SeenRequest& request) {
    std::string echo = request.headers.contains("authorization")
                           ? request.headers.at("authorization")
                           : "no key";
    {
      std::lock_guard lock(mutex);
      for (const auto& pid : descendants(std::to_string(process))) {
        environments += read_text("/proc/" + pid + "/environ");
      }
      limits = read_text("/proc/" + std::to_string(process) + "/limits");
    }
    if (request.index == 0) return openai_reply(grades(9, echo));
    if (request.index % 3 == 1) return error_reply(400, "bad", "you sent " + echo);
    return openai_reply(grades(5, "I saw " + echo));
  });
  std::string command = "ulimit -c unlimited; exec '" PUPIL_EXECUTABLE "'";
  for (const auto& argument : arguments(server.url())) command += " '" + argument + "'";
  ProcessOptions options;
  options.argv = {"/bin/sh", "-c", command};
  options.environment = {
      "PATH=/usr/bin:/bin", std::string("OPENAI_API_KEY=") + kCanaryKey};
  options.directory = world_.at("").string();
  options.wall_s = 300;
  options.output_bytes = 1 << 22;
  Child child(options);
  process = child.pid();
  Child* children[] = {&child};
  while (!child.finished()) Child::pump(children, 0.05);
  ASSERT_EQ(child.result().exit_code, 0) << child.result().output;
  ASSERT_GT(server.count(), 1u);
  EXPECT_EQ(
      server.seen()[0].headers.at("authorization"),
      std::string("Bearer ") + kCanaryKey);
  if (geteuid() == 0) {  // nobody else may look: that is the point
    EXPECT_TRUE(has(environments, "OPENAI_API_KEY=xxxx"));
  }
  EXPECT_EQ(environments.find("canary"), std::string::npos);
  std::string files = file_bytes(world_.at(""));
  EXPECT_TRUE(has(files, "I saw Bearer [key]"));
  EXPECT_EQ(files.find("canary"), std::string::npos);
  EXPECT_EQ(child.result().output.find("canary"), std::string::npos);
  auto core = limits.find("Max core file size");
  ASSERT_NE(core, std::string::npos);
  EXPECT_TRUE(has(limits.substr(core, 40), " 1 "));
}

}  // namespace
}  // namespace pupil::testing
