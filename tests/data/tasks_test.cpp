#include "data/tasks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "data/python_calls.h"
#include "data/task_formats.h"
#include "data/temp_file.h"

namespace pupil {
namespace {

std::vector<Task> load(const std::string& content, std::optional<int> limit = {}) {
  TempFile file(content);
  return load_tasks(file.path, limit);
}

std::string error_of_tasks(const std::string& content) {
  return error_of([&] { load(content); });
}

TEST(Tasks, ReadsOurOwnForm) {
  auto tasks = load(
      R"j({"id":"a/b","prompt":"Do.","entry_point":"f","tests":["assert f(1) == 2"],)j"
      R"j("setup":"import math","solution":"def f(x): return 2"})j");
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].id, "a/b");
  EXPECT_EQ(tasks[0].prompt, "Do.");
  EXPECT_EQ(tasks[0].language, "python");
  EXPECT_EQ(tasks[0].entry_point, "f");
  EXPECT_EQ(tasks[0].tests, std::vector<std::string>{"assert f(1) == 2"});
  EXPECT_EQ(tasks[0].setup, "import math");
  EXPECT_EQ(tasks[0].solution, "def f(x): return 2");
}

TEST(Tasks, ReadsPromptsAloneAndCountsTheirLines) {
  TempFile file("\n{\"prompt\":\"Write it.\",\"language\":\"rust\"}\n");
  auto tasks = load_tasks(file.path, std::nullopt);
  EXPECT_EQ(tasks[0].language, "rust");
  EXPECT_TRUE(tasks[0].tests.empty());
  EXPECT_EQ(tasks[0].id, std::filesystem::path(file.path).stem().string() + "/2");
}

TEST(Tasks, ReadsMbppAndTellsTheStudentNameAndCall) {
  auto tasks = load(
      R"j({"text":"Add one.","code":"def inc(x):\r\n  return x + 1","task_id":7,)j"
      R"j("test_setup_code":"import math","test_list":["assert set(inc(1)) == set(2)",)j"
      R"j("assert inc((3, 4)) == 4"],"challenge_test_list":[]})j");
  EXPECT_EQ(tasks[0].id, "7");
  EXPECT_EQ(tasks[0].entry_point, "inc");
  EXPECT_EQ(
      tasks[0].prompt, "Add one.\nName the function `inc`, called as in `inc(1)`.");
  EXPECT_EQ(tasks[0].setup, "import math");
  EXPECT_EQ(tasks[0].solution, "def inc(x):\n  return x + 1");
}

TEST(Tasks, ReadsHumanEval) {
  auto tasks = load(
      R"j({"task_id":"HumanEval/0","prompt":"import math\n\ndef f(x):\n  \"\"\"Do.\"\"\"\n",)j"
      R"j("entry_point":"f","canonical_solution":"  return x\n",)j"
      R"j("test":"def check(candidate):\n  assert candidate(1) == 1\n"})j");
  EXPECT_EQ(tasks[0].id, "HumanEval/0");
  EXPECT_NE(tasks[0].prompt.find("```python\nimport math"), std::string::npos);
  EXPECT_TRUE(tasks[0].prompt.ends_with("\n```"));
  EXPECT_EQ(tasks[0].setup, "import math\n\n");
  EXPECT_EQ(tasks[0].preamble, tasks[0].setup);
  EXPECT_EQ(tasks[0].signature, "def f(x):\n  \"\"\"Do.\"\"\"\n");
  ASSERT_EQ(tasks[0].tests.size(), 1u);
  EXPECT_TRUE(tasks[0].tests[0].ends_with("\ncheck(f)\n"));
  EXPECT_TRUE(tasks[0].solution.ends_with("\"\"\"Do.\"\"\"\n  return x\n"));
}

TEST(Tasks, FindsTheFunctionThatAllTestsCall) {
  auto entry_point = [](const std::string& tests) {
    return load(R"j({"prompt":"p","tests":[)j" + tests + "]}").at(0).entry_point;
  };
  EXPECT_EQ(entry_point(R"j("assert sorted(f(1)) == 2","assert f(g(2)) == 3")j"), "f");
  EXPECT_EQ(entry_point(R"j("assert sum(1, 2) == 3")j"), "sum");
  EXPECT_NE(
      error_of_tasks(R"j({"prompt":"p","tests":["assert f(1)","assert g(1)"]})j")
          .find(":1] `entry_point` is missing"),
      std::string::npos);
}

TEST(Tasks, StopsAtTheLimit) {
  std::string two = "{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}\n";
  EXPECT_EQ(load(two + "not read", 2).size(), 2u);
  EXPECT_EQ(load(two, 5).size(), 2u);
}

struct BadLine {
  const char* line;
  const char* message;
};

class BadTask : public testing::TestWithParam<BadLine> {};

TEST_P(BadTask, IsNamedWithFileAndLine) {
  TempFile file(std::string("{\"prompt\":\"good\"}\n\n") + GetParam().line + "\n");
  auto message = error_of([&] { load_tasks(file.path, std::nullopt); });
  EXPECT_EQ(message.find("[" + file.path + ":3] "), 0u) << message;
  EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(
    Lines,
    BadTask,
    testing::Values(
        BadLine{R"j({"tests":[]})j", "`prompt` is missing, expected a string"},
        BadLine{R"j({"prompt":7})j", "`prompt`: expected a string, got number"},
        BadLine{R"j({"prompt":" "})j", "got blank text"},
        BadLine{R"j({"prompt":"p","tests":"assert"})j", "expected an array"},
        BadLine{
            R"j({"prompt":"p","tests":["f(1)",""]})j", "an empty string at index 1"},
        BadLine{R"j({"prompt":"p","entry_point":"a b"})j", "name of a Python function"},
        BadLine{R"j({"prompt":"p","entry_point":"def"})j", "name of a Python function"},
        BadLine{R"j({"prompt":"p","id":""})j", "one line of text"},
        BadLine{R"j({"prompt":"p","id":"a\nb"})j", "one line of text"},
        BadLine{R"j({"prompt":"p","id":1.5})j", "expected an integer"},
        BadLine{
            R"j({"prompt":"p","tets":["f(1)"]})j",
            "unknown key `tets`, expected `tests`"},
        BadLine{R"j({"prompt":"p","entryPoint":"f"})j", "expected `entry_point`"},
        BadLine{
            R"j({"prompt":"p","tests":["f(1)"],"language":"rust"})j", "judge Python"},
        BadLine{
            R"j({"prompt":"p","tests":["f(1)"],"test_list":["f(1)"]})j", "got several"},
        BadLine{R"j({"text":"p","test_list":[]})j", "expected at least one test"},
        BadLine{R"j({"prompt":"p","test":"t"})j", "`entry_point` is missing"},
        BadLine{R"j({"prompt":"p","test":"t","entry_point":"f"})j", "'def f(...'"}));

TEST(Tasks, RefusesAnIdThatOccursTwice) {
  auto message =
      error_of_tasks("{\"prompt\":\"a\",\"id\":1}\n{\"prompt\":\"b\",\"id\":\"1\"}\n");
  EXPECT_NE(message.find(":2] the id '1' is taken by line 1"), std::string::npos);
}

TEST(Tasks, RefusesAFileWithoutATask) {
  EXPECT_NE(error_of_tasks(" \n\n").find("at least one task"), std::string::npos);
  EXPECT_NE(error_of_tasks("").find("at least one task"), std::string::npos);
}

TEST(Tasks, KeepsTheUsersOwnKeysOutOfTheWay) {
  const auto tasks = load(R"j({"prompt":"p","difficulty":3,"idx":1})j");
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].extra, R"({"difficulty":3,"idx":1})");
  EXPECT_EQ(load(R"j({"prompt":"p","id":1,"text":"theirs"})j")[0].extra, "");
}

TEST(Tasks, MbppsClassesAreAskedForWithTheLinesThatMakeThem) {
  auto task =
      load(
          R"j({"text":"Check a tree.","code":"class Node:\n  pass\nclass Other:\n  pass)j"
          R"j(\ndef ok(root):\n  return True","task_id":367,"test_setup_code":"root = )j"
          R"j(Node(1)\r\nroot.left = Node(2)","test_list":["assert ok(root) == True"]})j")
          .at(0);
  EXPECT_EQ(classes_of_answer(task), (std::vector<std::string>{"Node"}));
  EXPECT_TRUE(task.prompt.ends_with(
      "Define `Node`, too. The tests begin so:\n\n```python\nroot = Node(1)\n"
      "root.left = Node(2)\n```"))
      << task.prompt;
}

TEST(Tasks, LoadsAllOfMbpp) {
  std::string path = PUPIL_SOURCE_DIR "/../shared/data/mbpp.jsonl";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  auto tasks = load_tasks(path, std::nullopt);
  EXPECT_EQ(tasks.size(), 974u);
  for (const auto& task : tasks) {
    auto defined = python_functions(task.solution);
    EXPECT_EQ(std::count(defined.begin(), defined.end(), task.entry_point) > 0, true)
        << task.id << ": " << task.entry_point;
    EXPECT_GE(task.tests.size(), 3u);
  }
}

TEST(Tasks, LoadsPromptsOfSeveralLanguages) {
  std::string path = PUPIL_SOURCE_DIR "/../shared/data/code-prompts.jsonl";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  EXPECT_EQ(load_tasks(path, std::nullopt).size(), 1000u);
}

}  // namespace
}  // namespace pupil
