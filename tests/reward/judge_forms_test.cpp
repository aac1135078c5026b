// The judge's other forms: a whole group, a pair, one digit.

#include "reward/judge_forms.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>

#include "base/random.h"
#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

const Rubric& rubric() {
  static const Rubric kRubric = checked_rubric({{"works", 3, "m"}, {"neat", 1, "m"}});
  return kRubric;
}

json graded(int number, int works, int neat) {
  return {{"answer", number}, {"reason", "r"}, {"works", works}, {"neat", neat}};
}

std::string group_of(const std::vector<json>& list) {
  return json{{"answers", list}}.dump();
}

TEST(GroupForm, ScoresComeBackInTheOrderAsked) {
  auto read = read_group(
      rubric(), group_of({graded(3, 10, 10), graded(1, 0, 0), graded(2, 8, 4)}), 3);
  ASSERT_EQ(read.answers.size(), 3u) << read.error;
  EXPECT_EQ(read.answers[0].score, 0.0);
  EXPECT_EQ(read.answers[1].score, 0.7);
  EXPECT_EQ(read.answers[2].score, 1.0);
  EXPECT_EQ(read.answers[1].reason, "works 8, neat 4: r");
}

TEST(GroupForm, AnythingElseIsNothing) {
  auto one = graded(1, 5, 5), two = graded(2, 5, 5);
  auto extra = two, short_one = two, text = two, big = two, nested = two;
  extra["bonus"] = 1;
  short_one.erase("neat");
  text["answer"] = "2";
  big["works"] = 11;
  nested["reason"] = {"r"};
  std::vector<std::string> bad = {
      "",
      "[]",
      group_of({}),
      group_of({one}),
      group_of({one, one}),
      group_of({one, two, graded(3, 5, 5)}),
      group_of({one, graded(0, 5, 5)}),
      group_of({one, graded(3, 5, 5)}),
      group_of({one, extra}),
      group_of({one, short_one}),
      group_of({one, text}),
      group_of({one, big}),
      group_of({one, nested}),
      group_of({one, json(7)}),
      json{{"answers", {one, two}}, {"note", "x"}}.dump(),
      json{{"answers", one}}.dump(),
      group_of({one, two}) + "x",
      // A key twice could hide a second grade.
      R"({"answers":[)" + one.dump() + R"(,{"answer":2,"reason":"r","works":1,)" +
          R"("neat":1,"works":10}]})"};
  for (const auto& reply : bad) {
    auto read = read_group(rubric(), reply, 2);
    EXPECT_TRUE(read.answers.empty()) << reply;
    EXPECT_FALSE(read.error.empty()) << reply;
  }
  EXPECT_EQ(read_group(rubric(), group_of({one, two}), 2).answers.size(), 2u);
}

TEST(GroupForm, IsTotal) {
  std::mt19937 random(11);
  const std::string good = group_of({graded(1, 5, 5), graded(2, 9, 1)});
  int read = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string text = good;
    for (unsigned changes = random() % 2 + 1; changes > 0; --changes) {
      size_t at = random() % text.size();
      if (random() % 2) {
        text[at] = static_cast<char>(random());
      } else {
        text.insert(at, 1, "0123456789{}[]\",:"[random() % 17]);
      }
    }
    for (const auto& answer : read_group(rubric(), text, 2).answers) {
      ++read;
      ASSERT_TRUE(answer.score);
      EXPECT_GE(*answer.score, 0);
      EXPECT_LE(*answer.score, 1);
    }
  }
  EXPECT_GT(read, 50);
}

TEST(GroupForm, ShufflesByItsSeedAlone) {
  std::map<std::vector<size_t>, int> seen;
  for (uint64_t seed = 0; seed < 600; ++seed) {
    auto order = shuffled(3, seed);
    EXPECT_EQ(order, shuffled(3, seed));
    ++seen[order];
  }
  EXPECT_EQ(seen.size(), 6u);
  for (const auto& [order, count] : seen) EXPECT_NEAR(count, 100, 40);
}

TEST(PairForm, ReadsTheThreeWordsOnly) {
  EXPECT_EQ(read_pair(R"({"reason":"r","better":"a"})").score, 1.0);
  EXPECT_EQ(read_pair(R"({"reason":"r","better":"b"})").score, 0.0);
  EXPECT_EQ(
      read_pair("```json\n{\"reason\":\"r\",\"better\":\"tie\"}\n```").score, 0.5);
  for (const char* bad :
       {"",
        "a",
        R"({"better":"a"})",
        R"({"reason":"r","better":"A"})",
        R"({"reason":"r","better":1})",
        R"({"reason":1,"better":"a"})",
        R"({"reason":"r","better":"a","better":"b"})",
        R"({"reason":"r","better":"a","x":1})",
        R"({"reason":"r","better":["a"]})"}) {
    EXPECT_FALSE(read_pair(bad).score) << bad;
  }
}

TEST(PairForm, ATournamentMeetsEveryPairOnceAndIsFairWhenItIsCut) {
  for (size_t count = 0; count <= 9; ++count) {
    auto all = tournament(count, 1000);
    size_t pairs = count * (count > 0 ? count - 1 : 0) / 2;
    EXPECT_EQ(all.size(), pairs) << count;
    std::set<std::pair<size_t, size_t>> different(all.begin(), all.end());
    EXPECT_EQ(different.size(), all.size());
    for (auto [i, j] : all) {
      EXPECT_LT(i, j);
      EXPECT_LT(j, count);
    }
    for (size_t most = 0; most <= pairs; ++most) {
      auto cut = tournament(count, most);
      EXPECT_EQ(cut.size(), most);
      std::vector<int> times(count);
      for (auto [i, j] : cut) ++times[i], ++times[j];
      if (count == 0) continue;
      auto [least, greatest] = std::minmax_element(times.begin(), times.end());
      EXPECT_LE(*greatest - *least, 2) << count << " " << most;
    }
  }
}

// One place of a reply, of tokens and their probabilities.
json place(const std::vector<std::pair<std::string, double>>& tokens) {
  json top = json::array();
  for (const auto& [token, p] : tokens) top.push_back({token, std::log(p)});
  return {{"token", tokens.at(0).first}, {"top", top}};
}

TEST(DigitForm, IsTheExpectationOverTheDigits) {
  auto text = json{place({{"9", 0.4}, {" 6", 0.2}, {"0", 0.2}, {"The", 0.2}})}.dump();
  auto read = read_digit(text, 0.5);
  EXPECT_NEAR(read.score.value(), (0.4 * 9 + 0.2 * 6) / (0.8 * 9), 1e-12);
  // Different spellings of a digit are one.
  auto twice = json{
      place(
          {{"9", 0.5},
           {" 9", 0.3},
           {"\xE2\x96\x81"
            "0",
            0.2}})}.dump();
  EXPECT_NEAR(read_digit(twice, 0.5).score.value(), 0.8, 1e-12);
  // A blank token comes before; ten begins like one, and is none.
  auto later = json{place({{" ", 1.0}}), place({{"3", 0.9}, {"10", 0.1}})}.dump();
  EXPECT_NEAR(read_digit(later, 0.5).score.value(), 3.0 / 9, 1e-12);
}

TEST(DigitForm, TooLittleMassOrNoDigitsIsUnscored) {
  auto thin = json{place({{"The", 0.6}, {"7", 0.4}})}.dump();
  EXPECT_FALSE(read_digit(thin, 0.5).score);
  EXPECT_NE(read_digit(thin, 0.5).reason.find("0.400"), std::string::npos);
  EXPECT_TRUE(read_digit(thin, 0.3).score);
  EXPECT_FALSE(read_digit(json{place({{"The", 1.0}})}.dump(), 0).score);
  for (const char* bad :
       {"",
        "null",
        "[]",
        "{}",
        "[1]",
        "[{}]",
        R"([{"token":"7"}])",
        R"([{"token":"7","top":7}])",
        R"([{"token":"7","top":[["7"]]}])",
        R"([{"token":"7","top":[["7",null]]}])",
        R"([{"token":"7","top":[["7",0.5]]}])",
        R"([{"token":"7","top":[[7,-0.1]]}])",
        R"([{"token":" ","top":[["7",-0.1]]}])"}) {
    EXPECT_FALSE(read_digit(bad, 0.0).score) << bad;
  }
}

TEST(DigitForm, ReadsWhatALocalModelWrites) {
  std::array<double, 10> logprobs{};
  double sum = 0, all = 0;
  for (int d = 0; d < 10; ++d) {
    double p = 0.01 * (d + 1);
    logprobs[d] = std::log(p);
    sum += d * p;
    all += p;
  }
  EXPECT_NEAR(
      read_digit(digit_text(logprobs), 0.5).score.value(), sum / all / 9, 1e-12);
}

}  // namespace
}  // namespace pupil::testing
