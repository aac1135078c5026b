// The judge inside the program.

#include "app/local_judge.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "app/tiny_world.h"
#include "models/attend.h"
#include "models/lora.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;

// The tiny student with room for a judge's prompt.
void write_judge(const fs::path& folder) {
  write_tiny_student(folder);
  auto text = read_text(folder / "config.json");
  text.replace(text.find("256", text.find("max_position")), 3, "4096");
  write_text(folder / "config.json", text);
}

ChatRequest chat(const std::string& text) {
  ChatRequest request;
  request.system = "grade by one digit. this is the same for everybody: 0 to 9.";
  request.messages = {{"user", "f(x) = " + text}};
  return request;
}

TeacherConfig judge_config(const std::string& model) {
  TeacherConfig config;
  config.provider = "local";
  config.mode = "expected";
  config.model = model;
  return config;
}

class LocalJudge : public ::testing::Test {
 protected:
  void SetUp() override { write_judge(dir_.path() / "model"); }
  std::string model() const { return (dir_.path() / "model").string(); }
  TempDir dir_;
};

// The definition: one whole forward, and a softmax over all of the vocabulary.
std::vector<double> by_definition(const Model& model, const ChatRequest& request) {
  std::vector<Message> messages = {{"system", request.system}, request.messages[0]};
  auto ids = model.tokenizer.chat_ids(messages, true);
  int T = static_cast<int>(ids.size());
  auto hidden =
      sequence_hidden(model.decoder, mx::array(ids.data(), {1, T}, mx::int32));
  auto logits =
      mx::astype(model.decoder.head(mx::reshape(hidden, {T, -1})), mx::float32);
  logits.eval();
  int V = logits.shape(1);
  const float* row = logits.data<float>() + static_cast<size_t>(T - 1) * V;
  double sum = 0;
  for (int v = 0; v < V; ++v) sum += std::exp(static_cast<double>(row[v]));
  std::vector<double> out;
  for (int digit = 0; digit < 10; ++digit) {
    int id = model.tokenizer.encode_plain(std::to_string(digit)).at(0);
    out.push_back(row[id] - std::log(sum));
  }
  return out;
}

TEST_F(LocalJudge, GivesTheProbabilitiesOfAWholeForward) {
  auto student = load_model(model());
  auto judge = local_judge(judge_config(model()), student);
  std::vector<ChatRequest> chats = {
      chat("x"), chat("x + 1"), chat("(x, x, x)"), chat("x")};
  auto together = judge.ask(chats);
  ASSERT_EQ(together.size(), 4u);
  for (size_t i = 0; i < chats.size(); ++i) {
    auto expected = by_definition(student, chats[i]);
    EXPECT_EQ(together[i].error, "");
    EXPECT_GT(together[i].tokens, 50);
    for (size_t d = 0; d < 10; ++d)
      EXPECT_NEAR(together[i].logprobs[d], expected[d], 1e-4) << i << " " << d;
    // Who else is asked changes nothing, bit for bit.
    EXPECT_EQ(
        judge.ask(std::span(chats).subspan(i, 1))[0].logprobs, together[i].logprobs);
  }
  EXPECT_EQ(together[0].logprobs, together[3].logprobs);
  EXPECT_NE(together[0].logprobs, together[1].logprobs);
}

TEST_F(LocalJudge, MayBeAskedFromAnyThread) {
  auto student = load_model(model());
  auto judge = local_judge(judge_config(model()), student);
  std::vector<ChatRequest> chats = {chat("x"), chat("y")};
  auto here = judge.ask(chats);
  for (int i = 0; i < 3; ++i) {
    std::thread([&] {
      auto there = judge.ask(chats);
      for (size_t k = 0; k < 2; ++k) EXPECT_EQ(there[k].logprobs, here[k].logprobs);
    }).join();
  }
}

TEST_F(LocalJudge, TheStudentJudgesWithoutItsAdapter) {
  auto student = load_model(model());
  auto before =
      local_judge(judge_config("student"), student).ask(std::vector{chat("x")});
  attach_lora(student.decoder, LoraConfig{}, 1);
  for_each_linear(student.decoder, [](const std::string&, Linear& linear) {
    if (linear.lora) linear.lora->b = mx::ones(linear.lora->b.shape(), mx::float32);
  });
  auto judge = local_judge(judge_config("student"), student);
  auto after = judge.ask(std::vector{chat("x")});
  EXPECT_EQ(after[0].logprobs, before[0].logprobs);
  // The adapter is there and would say otherwise.
  auto adapted = digit_judge(student.decoder, student.tokenizer);
  EXPECT_NE(adapted.ask(std::vector{chat("x")})[0].logprobs, before[0].logprobs);
}

TEST_F(LocalJudge, AQuestionThatIsTooLongIsNoScore) {
  auto student = load_model(model());
  auto judge = local_judge(judge_config("student"), student);
  auto replies = judge.ask(std::vector{chat(std::string(5000, 'x')), chat("x")});
  EXPECT_NE(replies[0].error.find("the judge takes 1 to 4096"), std::string::npos);
  EXPECT_EQ(replies[1].error, "");
}

TEST_F(LocalJudge, ItsNameFollowsFromItsFiles) {
  auto student = load_model(model());
  auto name = [&](const std::string& dir) {
    return local_judge(judge_config(dir), student).identity;
  };
  auto copy = dir_.path() / "copy";
  fs::copy(model(), copy, fs::copy_options::recursive);
  EXPECT_EQ(name(model()), name(copy.string()));
  EXPECT_EQ(name("student"), name(model()));
  auto weights = read_text(copy / "model.safetensors");
  weights.back() = static_cast<char>(weights.back() ^ 1);
  write_text(copy / "model.safetensors", weights);
  EXPECT_NE(name(model()), name(copy.string()));
}

TEST_F(LocalJudge, AModelThatIsNotThereIsNamed) {
  auto student = load_model(model());
  try {
    local_judge(judge_config("no/such/model"), student);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("no/such/model"), std::string::npos);
  }
  TeacherConfig unset = judge_config("x");
  unset.model.reset();
  EXPECT_THROW(local_judge(unset, student), std::invalid_argument);
}

// `pupil train` with the student's own weights as a judge that is only looked at.
TEST(LocalJudgeRun, IsLookedAtBesideTheOthersAndChangesNothing) {
  TinyWorld world;
  write_judge(world.at("judge"));
  auto run = [&](const std::string& name, const std::string& teacher) {
    auto result = run_shell(
        "cd '" + world.at("").string() + "' && env -i PATH=/usr/bin:/bin HOME=. '" +
        PUPIL_EXECUTABLE + "' train -c config.yaml --logging.run_dir=" + name + " " +
        teacher + " 2>&1");
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return result.output;
  };
  std::string judge =
      "'--reward.functions=[{name: format, weight: 1}, {name: rubric, weight: 1}, "
      "{name: teacher, weight: 0}]' --teacher.provider=local --teacher.mode=expected "
      "--teacher.model=judge --teacher.cache=cache.sqlite "
      "--teacher.min_score_mass=0 ";
  run("plain", "");
  auto said = run("judged", judge);
  EXPECT_NE(said.find("teacher (weight 0, looked at only): mean"), std::string::npos)
      << said;
  run("again", judge);
  auto rows = [&](const std::string& name, const std::string& file) {
    std::vector<nlohmann::json> out;
    std::istringstream in(world.read(name + "/" + file));
    for (std::string line; std::getline(in, line);)
      out.push_back(nlohmann::json::parse(line));
    return out;
  };
  auto plain = rows("plain", "rollouts.jsonl"),
       judged = rows("judged", "rollouts.jsonl");
  ASSERT_EQ(plain.size(), judged.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    for (const char* key : {"completion", "reward", "advantage"})
      EXPECT_EQ(plain[i][key], judged[i][key]);
    EXPECT_TRUE(judged[i]["scores"].contains("teacher"));
  }
  EXPECT_EQ(judged, rows("again", "rollouts.jsonl"));
  for (const auto& row : rows("judged", "metrics.jsonl")) {
    EXPECT_TRUE(row.contains("teacher/latency_p95")) << row;
    EXPECT_TRUE(row.contains("agreement/rubric/teacher")) << row;
    EXPECT_EQ(row["teacher/coverage"], 1.0);
  }
  for (const auto& row : rows("again", "metrics.jsonl")) {
    EXPECT_EQ(row["teacher/cache_hit_rate"], row["teacher/questions"] > 0 ? 1.0 : 0.0);
  }
}

// `pupil score` asks the same judge, whether the config names it or the student.
TEST(LocalJudgeScore, JudgesAFileOfAnswers) {
  TinyWorld world;
  write_judge(world.at("judge"));
  world.write(
      "t.jsonl",
      R"({"id":"t","prompt":"Say yes.","tests":[]})"
      "\n");
  world.write(
      "a.jsonl",
      R"({"id":"t","completion":"yes, of course, as often as you like it."})"
      "\n"
      R"({"id":"t","completion":"no"})"
      "\n");
  auto scored = [&](const std::string& model) {
    auto result = world.run(
        "score --tasks t.jsonl --completions a.jsonl --json "
        "'--reward.functions=[{name: teacher, weight: 1}]' --teacher.provider=local "
        "--teacher.mode=expected --teacher.min_score_mass=0 --teacher.cache=" +
        model + ".sqlite --teacher.model=" + model +
        " --hardware.mlx_model_path=judge");
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return result.output;
  };
  auto by_name = scored("judge");
  EXPECT_EQ(by_name, scored("student"));
  auto first = nlohmann::json::parse(by_name.substr(0, by_name.find('\n')));
  EXPECT_TRUE(first["rewards"]["teacher"].is_number()) << first;
}

}  // namespace
}  // namespace pupil::testing
