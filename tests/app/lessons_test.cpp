// `pupil sft` and preference methods on files, as users run them.

#include <gtest/gtest.h>

#include "app/tiny_world.h"

namespace pupil {

namespace {

using testing::TinyWorld;

std::vector<nlohmann::json> metrics_in(const TinyWorld& world, const std::string& run) {
  std::vector<nlohmann::json> rows;
  std::istringstream in(world.read(run + "/metrics.jsonl"));
  for (std::string line; std::getline(in, line);)
    rows.push_back(nlohmann::json::parse(line));
  return rows;
}

const char* const kConversations =
    "{\"prompt\": \"f a\", \"completion\": \"a b\"}\n"
    "{\"messages\": [{\"role\": \"user\", \"content\": \"f b\"}, "
    "{\"role\": \"assistant\", \"content\": \"b a\"}]}\n";

}  // namespace

TEST(Lessons, SftImitatesAFile) {
  TinyWorld world;
  world.write("lessons.jsonl", kConversations);
  const std::string command = "sft -c config.yaml --data.train=lessons.jsonl ";
  for (const char* extra :
       {"--logging.run_dir=all",
        "--logging.run_dir=masked --data.mask_prompt=true",
        "--logging.run_dir=packed --data.packing=true"}) {
    auto run =
        world.run(command + "--train.max_steps=12 --train.learning_rate=0.05 " + extra);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
  }
  auto all = metrics_in(world, "all"), masked = metrics_in(world, "masked"),
       packed = metrics_in(world, "packed");
  EXPECT_LT(masked[11]["loss"], masked[0]["loss"]);
  EXPECT_GT(
      all[0]["completions/mean_length"].get<double>(),
      masked[0]["completions/mean_length"].get<double>());
  for (size_t i = 0; i < 12; ++i)
    EXPECT_NEAR(all[i]["loss"].get<double>(), packed[i]["loss"].get<double>(), 1e-4);
}

TEST(Lessons, PackedLinesStayInTheirStep) {
  TinyWorld world;
  std::string lines;
  for (const char* answer : {"a", "b b", "a b", "b", "a a b", "b a"})
    lines += R"({"prompt": "f a", "completion": ")" + std::string(answer) + "\"}\n";
  world.write("lessons.jsonl", lines);
  const std::string command =
      "sft -c config.yaml --data.train=lessons.jsonl --train.max_steps=6 "
      "--train.steps_per_generation=3 --train.learning_rate=0.05 ";
  for (const char* extra :
       {"--logging.run_dir=apart", "--logging.run_dir=packed --data.packing=true"}) {
    auto run = world.run(command + extra);
    ASSERT_EQ(run.exit_code, 0) << run.errors;
  }
  auto apart = metrics_in(world, "apart"), packed = metrics_in(world, "packed");
  ASSERT_EQ(packed.size(), size_t{6});
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(packed[i]["skipped"], false);
    for (const char* key : {"loss", "grad_norm", "completions/mean_length"})
      EXPECT_NEAR(packed[i][key].get<double>(), apart[i][key].get<double>(), 1e-3);
  }
}

TEST(Lessons, ALineEndsWithTheModelsPositions) {
  TinyWorld world;
  std::string letters;
  for (int i = 0; i < 300; ++i) letters += "a b ";
  world.write(
      "lessons.jsonl",
      std::string(kConversations) + R"({"prompt": "f a", "completion": ")" + letters +
          "\"}\n");
  const std::string command = "sft -c config.yaml --data.train=lessons.jsonl ";
  auto run = world.run(command + "--train.prompts_per_step=3");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_NE(
      run.errors.find("1 of 3 lines are longer than the model's 256 positions"),
      std::string::npos)
      << run.errors;
  EXPECT_EQ(metrics_in(world, "run")[0]["completions/max_length"], 255);
  run = world.run(command + "--logging.run_dir=short --data.max_seq_length=256");
  EXPECT_EQ(run.errors.find("positions"), std::string::npos) << run.errors;
}

TEST(Lessons, DpoLearnsFromPairs) {
  TinyWorld world;
  world.write(
      "pairs.jsonl",
      "{\"prompt\": \"f a\", \"chosen\": \"a b\", \"rejected\": \"b b\"}\n"
      "{\"prompt\": \"f b\", \"chosen\": \"a a\", \"rejected\": \"b a b\"}\n");
  auto run = world.run(
      "train -c config.yaml --data.train=pairs.jsonl --train.method=dpo "
      "--train.max_steps=12 --train.learning_rate=0.05");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  auto rows = metrics_in(world, "run");
  EXPECT_NE(run.output.find("  margin "), std::string::npos) << run.errors;
  EXPECT_EQ(run.output.find("  sample "), std::string::npos) << run.errors;
  EXPECT_GT(rows[11]["rewards/margins"], rows[0]["rewards/margins"]);
  EXPECT_NEAR(rows[0]["loss"].get<double>(), 0.693147, 1e-4);  // log 2
}

TEST(Lessons, DoctorReadsWhatTheMethodLearnsFrom) {
  TinyWorld world;
  world.write("lessons.jsonl", kConversations);
  auto with = [&](const std::string& method, const std::string& file) {
    return world.run(
        "doctor -c config.yaml --train.method=" + method + " --data.train=" + file);
  };
  auto good = with("sft", "lessons.jsonl");
  EXPECT_EQ(good.exit_code, 0) << good.output << good.errors;
  EXPECT_NE(
      good.output.find("2 lines to learn from in lessons.jsonl"), std::string::npos)
      << good.output;
  EXPECT_EQ(with("sft", "tasks.jsonl").exit_code, 1);
  EXPECT_EQ(with("dpo", "lessons.jsonl").exit_code, 1);
}

TEST(Lessons, ALineThatIsNoLessonIsNamed) {
  TinyWorld world;
  auto run = world.run("sft -c config.yaml");  // its data.train holds tasks
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_NE(
      run.errors.find("tasks.jsonl:1] expected \"completion\""), std::string::npos)
      << run.errors;
}

}  // namespace pupil
