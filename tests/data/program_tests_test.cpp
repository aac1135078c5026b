#include "data/program_tests.h"

#include <gtest/gtest.h>

#include "data/tasks.h"
#include "data/temp_file.h"

namespace pupil {
namespace {

Task load_one(const std::string& line) {
  TempFile file(line + "\n");
  return load_tasks(file.path, std::nullopt).at(0);
}

std::string error_in(const std::string& line) {
  return error_of([&] { load_one(line); });
}

TEST(ProgramTests, PairsOfInputAndOutput) {
  const Task task = load_one(
      R"j({"prompt":"p","tests":[{"input":"1\n","output":"2\n"},{"output":"","input":""}]})j");
  ASSERT_EQ(task.io_tests.size(), 2u);
  EXPECT_EQ(task.io_tests[0].input, "1\n");
  EXPECT_EQ(task.io_tests[0].output, "2\n");
  EXPECT_EQ(task.language, "any");
  EXPECT_TRUE(task.tests.empty());
}

TEST(ProgramTests, ACommandWithItsFiles) {
  const Task task =
      load_one(R"j({"prompt":"p","language":"rust","test_command":["bash","t.sh"],)j"
               R"j("test_files":{"t.sh":"./solution"}})j");
  EXPECT_EQ(task.language, "rust");
  EXPECT_EQ(task.test_command, (std::vector<std::string>{"bash", "t.sh"}));
  ASSERT_EQ(task.test_files.size(), 1u);
  EXPECT_EQ(task.test_files[0].name, "t.sh");
}

TEST(ProgramTests, EveryErrorNamesWhatWasExpected) {
  const std::pair<const char*, const char*> lines[] = {
      {R"j({"prompt":"p","tests":[{"input":"1"}]})j",
       "`tests`[0]: expected text under `output`"},
      {R"j({"prompt":"p","tests":[{"input":1,"output":"2"}]})j", "text under `input`"},
      {R"j({"prompt":"p","tests":[{"input":"","output":""},"f(1)"]})j", "`tests`[1]"},
      {R"j({"prompt":"p","tests":[{"input":"","output":"","x":1}]})j", "no keys but"},
      {R"j({"prompt":"p","language":"cobol","tests":[{"input":"","output":""}]})j",
       "got 'cobol'"},
      {R"j({"prompt":"p","test_files":{"a.py":""}})j", "`test_command` is missing"},
      {R"j({"prompt":"p","test_command":[]})j", "an array of words"},
      {R"j({"prompt":"p","test_command":"bash t.sh"})j", "an array of words"},
      {R"j({"prompt":"p","test_command":["a"],"test_files":{"../a":""}})j",
       "files without a folder"},
      {R"j({"prompt":"p","test_command":["a"],"test_files":{".a":""}})j",
       "files without a folder"},
      {R"j({"prompt":"p","test_command":["a"],"test_files":{"solution.py":""}})j",
       "no file `solution`"},
      {R"j({"prompt":"p","test_command":["a"],"tests":[]})j", "got both"},
      {R"j({"prompt":"p","test_file":{}})j", "expected `test_files`"}};
  for (const auto& [line, expected] : lines) {
    EXPECT_NE(error_in(line).find(expected), std::string::npos)
        << line << ": " << error_in(line);
  }
}

}  // namespace
}  // namespace pupil
