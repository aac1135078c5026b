// Reward programs that do as they should, and say some things besides.

#include "reward/program_reward.h"

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "reward/program_support.h"

namespace pupil {
namespace {

constexpr const char* kWell = R"py(
for request in requests():
    reply(request, lengths(request))
)py";

TEST_F(ProgramRewardTest, OneProcessScoresEverything) {
  const auto reward = program(R"py(
count("starts")
for request in requests():
    count("requests")
    reply(request, lengths(request))
)py");
  expect_values(score(reward, {"a", "", "abc"}), {1, 0, 3});
  expect_values(score(reward, {"ab"}), {2});
  EXPECT_TRUE(score(reward, {}).empty());
  EXPECT_EQ(calls("starts"), "x");
  EXPECT_EQ(calls("requests"), "xx");
}

TEST_F(ProgramRewardTest, SeesPromptCompletionAndTask) {
  task_.prompt = "Write f.\n\"Quoted\" \xc3\xa9";
  task_.solution = "def f(): return 1";
  task_.extra = R"({"level":3,"answer":"x"})";
  const auto reward = program(R"py(
expected = {
    "prompt": "Write f.\n\"Quoted\" \u00e9",
    "completion": "line 1\nline 2",
    "task": {"id": "f", "language": "python", "entry_point": "f",
             "tests": ["assert f() == 1"], "setup": "import math",
             "solution": "def f(): return 1", "level": 3, "answer": "x"}}
for request in requests():
    reply(request, [float(item == expected) for item in request["items"]])
)py");
  expect_values(score(reward, {"line 1\nline 2", "else"}), {1, 0});
}

TEST_F(ProgramRewardTest, LargeAnswersAndBatchesCrossThePipe) {
  options_.batch_size = 16;
  const auto reward = program(kWell);
  std::vector<std::string> texts;
  std::vector<std::optional<double>> expected;
  for (size_t i = 0; i < 50; ++i) {
    texts.emplace_back(i * 4001, 'x');
    expected.push_back(static_cast<double>(i * 4001));
  }
  expect_values(score(reward, texts), expected);
}

TEST_F(ProgramRewardTest, NullsAndNonsenseAreUnscoredAlone) {
  const auto reward = program(R"py(
for request in requests():
    reply(request, [None, "good", True, 2.5][:len(request["items"])])
)py");
  const auto scores = score(reward, {"a", "b", "c", "d"});
  expect_values(scores, {{}, {}, {}, 2.5});
  EXPECT_EQ(scores[0].reason, "the program gave no score");
  EXPECT_EQ(scores[1].reason, "the program gave '\"good\"', expected a number or null");
}

TEST_F(ProgramRewardTest, JunkLateAndDoubledRepliesArePassedOver) {
  const auto reward = program(R"py(
print("loading")
for request in requests():
    n = len(request["items"])
    print("{'debug': 1}")
    print(json.dumps({"id": request["id"] + 1, "scores": [9.0] * n}))
    print(json.dumps({"id": request["id"] - 1, "scores": [8.0] * n}))
    print("\n\x00\xff")
    reply(request, lengths(request))
    reply(request, [7.0] * n)
)py");
  for (int i = 0; i < 5; ++i) expect_values(score(reward, {"abc", "d"}), {3, 1});
}

TEST_F(ProgramRewardTest, AReplyToARequestThatWasNotMadeYetIsNone) {
  const auto reward = program(R"py(
for request in requests():
    reply(request, lengths(request))
    reply({"id": request["id"] + 1}, [9.0] * len(request["items"]))
    count("replied")
)py");
  for (size_t i = 1; i <= 5; ++i) {
    expect_values(score(reward, {"abc"}), {3});
    while (!std::filesystem::exists(at("replied")) || calls("replied").size() < i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

TEST_F(ProgramRewardTest, AReplyWithoutItsNewlineCountsWhenTheProgramEnds) {
  const auto reward = program(R"py(
request = next(requests())
sys.stdout.write(json.dumps({"id": request["id"], "scores": lengths(request)}))
)py");
  expect_values(score(reward, {"abc"}), {3});
}

TEST_F(ProgramRewardTest, AProgramThatAnswersOnceAndEndsIsStartedEachTime) {
  const auto reward = program(R"py(
count("starts")
request = next(requests())
reply(request, lengths(request))
)py");
  for (int i = 0; i < 8; ++i) expect_values(score(reward, {"abc", "d"}), {3, 1});
  EXPECT_EQ(calls("starts").size(), 8u);
}

TEST_F(ProgramRewardTest, CallsFromManyThreadsTakeTheirTurn) {
  const auto reward = program(kWell);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        expect_values(
            score(reward, {std::string(t, 'x'), "y"}), {static_cast<double>(t), 1});
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(ProgramRewardTest, TheEndOfInputEndsIt) {
  {
    const auto reward = program(R"py(
for request in requests():
    reply(request, lengths(request))
count("ended")
)py");
    score(reward, {"a"});
  }
  EXPECT_EQ(calls("ended"), "x");
}

TEST(EnvironmentWithout, LeavesOutWhatIsHidden) {
  ::setenv("PUPIL_TEST_KEY", "secret", 1);
  ::setenv("PUPIL_TEST_KEY_2", "open", 1);
  std::string all;
  for (const auto& variable : environment_without({"PUPIL_TEST_KEY"})) {
    all += variable + "\n";
  }
  EXPECT_EQ(all.find("secret"), std::string::npos);
  EXPECT_NE(all.find("PUPIL_TEST_KEY_2=open\n"), std::string::npos);
}

}  // namespace
}  // namespace pupil
