#include "data/completion_file.h"

#include <gtest/gtest.h>

#include "data/temp_file.h"

namespace pupil {
namespace {

std::vector<Task> tasks_of(std::vector<std::string> ids) {
  std::vector<Task> tasks;
  for (auto& id : ids) tasks.emplace_back().id = id;
  return tasks;
}

TEST(CompletionFile, KeepsOrderAndIds) {
  TempFile file(
      "{\"id\":11,\"completion\":\"a\"}\n"
      "{\"id\":\"x/1\",\"completion\":\"\",\"row\":3}\r\n"
      "\n"
      "{\"id\":\"11\",\"completion\":\"\\u00e9\"}");
  const auto lines = read_completion_file(file.path, tasks_of({"x/1", "11"}), "t");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].id, 11);
  EXPECT_EQ(lines[0].task, 1u);
  EXPECT_EQ(lines[1].id, "x/1");
  EXPECT_EQ(lines[1].task, 0u);
  EXPECT_EQ(lines[1].text, "");
  EXPECT_EQ(lines[2].id, "11");
  EXPECT_EQ(lines[2].task, 1u);
  EXPECT_EQ(lines[2].text, "\xc3\xa9");
}

TEST(CompletionFile, NamesTheLineThatIsWrong) {
  for (const std::string bad :
       {"{\"id\":\"b\",\"completion\":\"x\"}",
        "{\"id\":null,\"completion\":\"x\"}",
        "{\"id\":\"a\",\"completion\":null}",
        "{\"id\":[\"a\"],\"completion\":\"x\"}",
        "{\"id\":\"a\",\"completion\":[\"x\"]}",
        "{\"id\":\"a\"",
        "3"}) {
    TempFile file("{\"id\":\"a\",\"completion\":\"x\"}\n\n" + bad + "\n");
    const auto error =
        error_of([&] { read_completion_file(file.path, tasks_of({"a"}), "t"); });
    EXPECT_TRUE(error.starts_with("[" + file.path + ":3] ")) << bad << ": " << error;
  }
}

}  // namespace
}  // namespace pupil
