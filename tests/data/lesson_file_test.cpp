#include "data/lesson_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>

#include "support/temp_dir.h"

namespace pupil {
namespace {

std::vector<Lesson> load(const std::string& text, LessonKind kind) {
  testing::TempDir dir;
  auto path = (dir.path() / "lessons.jsonl").string();
  std::ofstream(path) << text << "\n";
  return load_lessons(path, kind);
}

std::string complaint(const std::string& text, LessonKind kind) {
  try {
    load(text, kind);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(LessonFile, ReadsTheThreeFormsToImitate) {
  auto lessons = load(
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
{"prompt": "c", "completion": "d", "id": 7}

{"text": "e"})",
      LessonKind::imitate);
  ASSERT_EQ(lessons.size(), 3u);
  EXPECT_EQ(lessons[0].prompt.at(0).content, "a");
  EXPECT_EQ(lessons[0].answers.at(0).content, "b");
  EXPECT_EQ(lessons[1].prompt.at(0).role, "user");
  EXPECT_EQ(lessons[1].answers.at(0).content, "d");
  EXPECT_TRUE(lessons[2].prompt.empty());
  EXPECT_EQ(lessons[2].text, "e");
}

TEST(LessonFile, ReadsPairsWithAndWithoutAPrompt) {
  auto lessons = load(
      R"({"prompt": "q", "chosen": "good", "rejected": "bad"}
{"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}]}
{"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "good"}], "rejected": [{"role": "assistant", "content": "bad"}]})",
      LessonKind::pairs);
  ASSERT_EQ(lessons.size(), 3u);
  for (const auto& lesson : lessons) {
    ASSERT_EQ(lesson.prompt.size(), 1u);
    EXPECT_EQ(lesson.prompt[0].content, "q");
    EXPECT_EQ(lesson.answers.at(0).content, "good");
    EXPECT_TRUE(lesson.answers[0].good);
    EXPECT_EQ(lesson.answers.at(1).content, "bad");
    EXPECT_FALSE(lesson.answers[1].good);
  }
}

TEST(LessonFile, ReadsLabels) {
  auto lessons = load(
      R"({"prompt": "q", "completion": "x", "label": true}
{"prompt": "q", "completion": "y", "label": false})",
      LessonKind::labels);
  EXPECT_TRUE(lessons.at(0).answers.at(0).good);
  EXPECT_FALSE(lessons.at(1).answers.at(0).good);
}

TEST(LessonFile, NamesTheLineAndTheKeyAtFault) {
  struct Case {
    LessonKind kind;
    const char *text, *key;
  };
  using enum LessonKind;
  for (const auto& c : std::initializer_list<Case>{
           {imitate, R"({"message": []})", "messages"},
           {imitate,
            R"({"messages": [{"role": "user", "content": "a"}]})",
            "assistant"},
           {imitate,
            R"({"messages": [{"role": "assistant", "content": "a"}]})",
            "before"},
           {imitate, R"({"prompt": "a"})", "completion"},
           {imitate, R"({"prompt": 3, "completion": "a"})", "prompt"},
           {imitate, R"({"text": ""})", "text"},
           {imitate, R"({"messages": [{"role": "user"}]})", "content"},
           {pairs, R"({"prompt": "a", "chosen": "b"})", "rejected"},
           {pairs, R"({"chosen": "b", "rejected": "c"})", "before"},
           {labels, R"({"prompt": "a", "completion": "b"})", "label"},
           {labels, R"({"prompt": "a", "completion": "b", "label": 1})", "label"}}) {
    auto text = complaint(c.text, c.kind);
    EXPECT_NE(text.find(c.key), std::string::npos) << c.text << ": " << text;
    EXPECT_NE(text.find(":1]"), std::string::npos) << text;
  }
  EXPECT_NE(complaint("", imitate), "");
}

TEST(LessonFile, RefusesToolsUnlessThereAreNone) {
  using enum LessonKind;
  const std::string line = R"({"prompt": "a", "completion": "b", "tools": )";
  EXPECT_EQ(complaint(line + "null}", imitate), "");
  EXPECT_EQ(complaint(line + "[]}", imitate), "");
  auto text = complaint(line + R"([{"type": "function"}]})", imitate);
  EXPECT_NE(text.find(":1] \"tools\": tools are not supported"), text.npos) << text;
  text = complaint(
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}]})",
      imitate);
  EXPECT_NE(text.find("\"tool_calls\": tools"), text.npos) << text;
}

}  // namespace
}  // namespace pupil
