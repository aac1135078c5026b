// `pupil eval` from end to end, by the tiny student.

#include <gtest/gtest.h>

#include "app/run_rows.h"
#include "app/tiny_world.h"
#include "models/adapters.h"
#include "models/model.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kTasks = 12;

class Eval : public ::testing::Test {
 protected:
  // Some answers of the tiny student are the function that gives back its argument.
  static void SetUpTestSuite() {
    world_ = std::make_unique<TinyWorld>();
    std::string tasks;
    for (int i = 0; i < kTasks; ++i) {
      tasks +=
          json{
              {"id", "t" + std::to_string(i)},
              {"prompt", "f " + std::to_string(i)},
              {"entry_point", "f"},
              {"tests", {"assert f(1) == 1", "assert f(2) == 2"}}}
              .dump() +
          "\n";
    }
    world_->write("exam.jsonl", tasks);
    auto trained = world_->run(
        "train -c config.yaml --train.max_steps=4 --train.learning_rate=0.05");
    ASSERT_EQ(trained.exit_code, 0) << trained.errors;
    write_idle_adapter();
  }
  static void TearDownTestSuite() { world_.reset(); }

  // Nothing was trained: B is 0.
  static void write_idle_adapter() {
    auto model = load_model(world_->at("model"));
    LoraConfig lora{.rank = 2};
    attach_lora(model.decoder, lora, 3);
    fs::create_directories(world_->at("idle"));
    save_adapter_tensors(model.decoder, world_->at("idle/adapters.safetensors"));
    world_->write(
        "idle/adapter_config.json", adapter_config_text(lora, model.decoder, "model"));
  }

  // An adapter of a model with one more layer.
  static void write_other_adapter() {
    fs::copy(world_->at("idle"), world_->at("other"));
    auto tensors = mx::load_safetensors(world_->at("idle/adapters.safetensors")).first;
    auto any = tensors.begin()->second;
    tensors.insert_or_assign("model.layers.9.self_attn.q_proj.lora_a", any);
    mx::save_safetensors(world_->at("other/adapters.safetensors"), tensors);
  }

  static ProgramResult eval(const std::string& more) {
    return world_->run(
        "eval --model model --tasks exam.jsonl --max-tokens 3 "
        "'--reward.functions=[{name: tests}, {name: format}]' " +
        more);
  }

  // Without boxes, which take most of the time.
  static ProgramResult quick_eval(const std::string& more) {
    return world_->run(
        "eval --model model --tasks exam.jsonl --max-tokens 3 "
        "'--reward.functions=[{name: rubric}, {name: format}]' " +
        more);
  }

  static json report_of(const std::string& more, bool tested = true) {
    auto run = tested ? eval(more + " --json") : quick_eval(more + " --json");
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return json::parse(run.output);
  }

  static std::unique_ptr<TinyWorld> world_;
};

std::unique_ptr<TinyWorld> Eval::world_;

TEST_F(Eval, ComparesAnAdapterWithItsBase) {
  auto run = eval("--adapter run/adapters --samples 4 --k 1,2 --out both");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_TRUE(has(run.output, "difference [95 %]")) << run.output;
  EXPECT_TRUE(has(run.output, "solved by the adapter alone")) << run.output;
  EXPECT_EQ(
      names_in(world_->at("both")),
      (std::vector<std::string>{
          "report.json", "report.md", "samples.jsonl", "settings.json"}));
  auto report = json::parse(world_->read("both/report.json"));
  EXPECT_EQ(report.at("settings").at("temperature"), 1.0);
  EXPECT_NE(report.at("difference").at("reward").at("mean"), 0.0);
  for (std::string flip : {"gained", "lost"}) {
    for (const auto& id : report.at("flips").at(flip)) {
      auto title = "### " + id.get<std::string>() + ": " + flip;
      EXPECT_TRUE(has(world_->read("both/report.md"), title)) << title;
    }
  }
}

// The report counts what samples.jsonl says, and pass@2 of 4 is the share of the six
// pairs that have a pass in them.
TEST_F(Eval, PassAtKIsThatOfTheSamples) {
  auto report = report_of("--adapter run/adapters --samples 4 --k 1,2 --out counted");
  auto rows = rows_of(world_->read("counted/samples.jsonl"));
  ASSERT_EQ(rows.size(), 2u * 4 * kTasks);
  for (std::string policy : {"base", "adapter"}) {
    double pass1 = 0, pass2 = 0;
    size_t begin = policy == "base" ? 0 : 4 * kTasks;
    for (size_t i = begin; i < begin + 4 * kTasks; i += 4) {
      int pairs = 0;
      for (size_t a = i; a < i + 4; ++a) {
        EXPECT_EQ(rows[a].at("policy"), policy);
        bool passes = rows[a].at("scores").at("tests") == 1.0;
        pass1 += passes / 4.0;
        for (size_t b = a + 1; b < i + 4; ++b)
          pairs += passes || rows[b].at("scores").at("tests") == 1.0;
      }
      pass2 += pairs / 6.0;
    }
    EXPECT_GT(pass1, 0) << "no answer passes: the test shows nothing";
    EXPECT_NEAR(report.at(policy).at("pass@1").at("mean"), pass1 / kTasks, 1e-12);
    EXPECT_NEAR(report.at(policy).at("pass@2").at("mean"), pass2 / kTasks, 1e-12);
  }
}

TEST_F(Eval, TheSameSeedGivesTheSameReport) {
  auto one = report_of("--samples 2 --seed=3", false),
       two = report_of("--samples 2 --seed=3", false),
       other = report_of("--samples 2 --seed=4", false);
  EXPECT_EQ(one, two);
  EXPECT_NE(one.at("tasks"), other.at("tasks"));
}

class EvalOfRun : public Eval, public ::testing::WithParamInterface<const char*> {};

// The base in a run and here: the same numbers, drawn by the same keys.
TEST_P(EvalOfRun, IsTheEvaluationOfARun) {
  std::string bits = GetParam(), dir = "examined" + bits;
  auto run = world_->run(
      "train -c config.yaml --data.eval=exam.jsonl --train.max_steps=1 "
      "--train.eval_samples=2 --rollout.kv_bits=" +
      bits + " --logging.run_dir=" + dir);
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  auto of_run = json::parse(world_->read(dir + "/report.json"));
  auto here = world_->run(
      "eval -c " + dir + "/config.yaml --adapter " + dir +
      "/adapters --samples 2 --json");
  ASSERT_EQ(here.exit_code, 0) << here.errors;
  auto report = json::parse(here.output);
  for (std::string metric : {"reward", "format", "rubric", "length"}) {
    for (auto [theirs, ours] :
         {std::pair("before", "base"),
          std::pair("after", "adapter"),
          std::pair("difference", "difference")}) {
      const auto &a = of_run.at(theirs).at(metric), &b = report.at(ours).at(metric);
      EXPECT_EQ(a.at("mean"), b.at("mean")) << metric << " " << theirs;
      EXPECT_EQ(a.at("ci95"), b.at("ci95")) << metric << " " << theirs;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(KvBits, EvalOfRun, ::testing::Values("0", "8"));

TEST_F(Eval, AnAdapterThatChangesNothingMakesNoDifference) {
  for (std::string samples : {"--samples 1", "--samples 3"}) {
    auto report = report_of("--adapter idle " + samples);
    EXPECT_EQ(report.at("base"), report.at("adapter"));
    for (const auto& [name, figure] : report.at("difference").items())
      EXPECT_EQ(figure.at("ci95"), json({0.0, 0.0})) << name;
    EXPECT_TRUE(report.at("flipped").empty());
    EXPECT_EQ(report.at("flips").at("mcnemar_p"), 1.0);
  }
}

// Cut anywhere, the evaluation goes on and ends as one that nobody ended.
TEST_F(Eval, GoesOnAndEndsTheSame) {
  std::string what = "--adapter run/adapters --samples 2 ";
  ASSERT_EQ(quick_eval(what + "--out whole").exit_code, 0);
  auto samples = world_->read("whole/samples.jsonl");
  for (double share : {0.0, 0.3, 0.77}) {
    fs::remove_all(world_->at("cut"));
    fs::copy(world_->at("whole"), world_->at("cut.partial"));
    fs::remove(world_->at("cut.partial/report.md"));
    fs::remove(world_->at("cut.partial/report.json"));
    auto kept = static_cast<size_t>(share * static_cast<double>(samples.size()));
    world_->write("cut.partial/samples.jsonl", samples.substr(0, kept));
    auto rest = quick_eval(what + "--out cut");
    ASSERT_EQ(rest.exit_code, 0) << rest.errors;
    for (std::string file : {"samples.jsonl", "report.json", "report.md"})
      EXPECT_EQ(world_->read("cut/" + file), world_->read("whole/" + file)) << file;
    EXPECT_FALSE(fs::exists(world_->at("cut.partial")));
  }
}

TEST_F(Eval, KilledItGoesOn) {
  std::vector<std::string> arguments = {
      "eval",
      "--model",
      "model",
      "--tasks",
      "exam.jsonl",
      "--max-tokens",
      "8",
      "--reward.functions=[{name: format}]",
      "--samples",
      "256",
      "--out",
      "killed"};
  auto samples = world_->at("killed.partial/samples.jsonl");
  {
    RunningPupil first(world_->at(""), arguments);
    std::error_code error;
    for (int i = 0;
         i < 60000 && !(fs::exists(samples) && fs::file_size(samples, error) > 0);
         ++i)
      usleep(1000);
    first.signal(SIGKILL);
    first.finish();
  }
  EXPECT_FALSE(fs::exists(world_->at("killed")));
  auto before = world_->read("killed.partial/samples.jsonl");
  RunningPupil second(world_->at(""), arguments);
  ASSERT_EQ(second.finish().exit_code, 0) << second.finish().output;
  auto after = world_->read("killed/samples.jsonl");
  EXPECT_TRUE(after.starts_with(before.substr(0, before.rfind('\n') + 1)));
  EXPECT_EQ(rows_of(after).size(), 256u * kTasks);
}

TEST_F(Eval, WhatIsFinishedIsShownAndNotSampledAgain) {
  ASSERT_EQ(quick_eval("--samples 2 --out done").exit_code, 0);
  auto report = world_->read("done/report.json");
  // Only the report is read.
  world_->write("done/samples.jsonl", "");
  auto again = quick_eval("--samples 2 --out done --json");
  ASSERT_EQ(again.exit_code, 0) << again.errors;
  EXPECT_EQ(json::parse(again.output), json::parse(report));
  EXPECT_EQ(world_->read("done/samples.jsonl"), "");
  EXPECT_TRUE(failed(
      quick_eval("--samples 3 --out done"),
      1,
      "done holds an evaluation with samples 2, here it is 3; choose another --out"));
  EXPECT_TRUE(
      failed(quick_eval("--out model"), 1, "model exists and holds no evaluation"));
  EXPECT_TRUE(
      failed(quick_eval("--out exam.jsonl"), 1, "exam.jsonl exists and is no direc"));
}

TEST_F(Eval, SamplesOfAnotherEvaluationAreRefused) {
  ASSERT_EQ(quick_eval("--limit 2 --out odd").exit_code, 0);
  fs::rename(world_->at("odd"), world_->at("odd.partial"));
  world_->replace("odd.partial/samples.jsonl", "\"t1\"", "\"t7\"");
  EXPECT_TRUE(failed(
      quick_eval("--limit 2 --out odd"),
      1,
      "odd.partial/samples.jsonl holds a sample that is not that of base, task t1"));
}

TEST_F(Eval, BadInputIsOneLineAndLeavesNothing) {
  world_->write("none.jsonl", "\n");
  world_->write("unknown.jsonl", "{\"question\":\"q\"}\n");
  write_other_adapter();
  struct Case {
    std::string arguments;
    int exit_code;
    std::string says;
  };
  std::string eval_on = "eval --model model --out out --tasks ";
  for (const auto& [arguments, exit_code, says] : std::vector<Case>{
           {eval_on + "none.jsonl", 1, "[none.jsonl] expected at least one task"},
           {eval_on + "unknown.jsonl", 1, "[unknown.jsonl:1] `prompt` is missing"},
           {eval_on + "nowhere", 1, "[nowhere] cannot be opened"},
           {eval_on + "exam.jsonl --samples 4 --k 1,10", 2, "pass@10 needs at least"},
           {eval_on + "exam.jsonl --samples 0", 2, "--samples"},
           {eval_on + "exam.jsonl --samples 2 --temperature 0", 2, "set --samples 1"},
           {eval_on + "exam.jsonl --adapter nowhere", 1, "[nowhere] expected an adap"},
           {eval_on + "exam.jsonl --adapter other", 1, "other"},
           {eval_on + "exam.jsonl --max-tokens 5000", 1, "task t0: its prompt of"},
           {eval_on + "exam.jsonl --judge", 2, "give --adapter"},
           {eval_on + "exam.jsonl --judge --adapter idle", 1, "set teacher.provider"},
           {"eval --model nowhere --tasks exam.jsonl", 1, "[nowhere] expected an MLX"},
           {"eval --model model --out out", 2, "expected --tasks"},
           {"eval --tasks exam.jsonl --out out", 2, "expected --model"},
           {"eval --model model --tasks exam.jsonl --max-tokens 2 --out exam.jsonl/out "
            "'--reward.functions=[{name: format}]'",
            1,
            "exam.jsonl/out"},
           {"eval --model model --tasks exam.jsonl --max-tokens 2 --out /proc/out "
            "'--reward.functions=[{name: format}]'",
            1,
            "/proc/out"}}) {
    EXPECT_TRUE(failed(world_->run(arguments), exit_code, says)) << arguments;
    EXPECT_FALSE(fs::exists(world_->at("out"))) << arguments;
    EXPECT_FALSE(fs::exists(world_->at("out.partial"))) << arguments;
  }
}

}  // namespace
}  // namespace pupil::testing
