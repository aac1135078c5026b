// Tests that make objects of a class that the answer defines: they stay in its box.

#include <gtest/gtest.h>

#include "data/task_formats.h"
#include "reward/grading.h"
#include "reward/mbpp_support.h"

namespace pupil {
namespace {

constexpr const char* kTree = R"(
class Node:
    def __init__(self, data):
        self.data, self.left, self.right = data, None, None
    def count(self):
        return 1 + sum(side.count() for side in (self.left, self.right) if side)

def size(root):
    return root.count() if root else 0

def grow(root, data):
    if root is None: return Node(data)
    root.left = grow(root.left, data)
    return root
)";

constexpr const char* kSetup =
    "root = Node(1)\nroot.left = Node(2)\nroot.left.right = Node(data=3)";

Grade graded(
    const std::string& code,
    const std::vector<std::string>& tests,
    const std::string& setup = kSetup,
    const std::vector<std::string>& classes = {"Node"}) {
  return grade(
      *shared_sandbox(),
      {.code = code,
       .entry_point = "size",
       .classes = classes,
       .setup = setup,
       .tests = split_tests(tests),
       .order_key = 1});
}

void expect_passed(const std::vector<std::string>& tests) {
  const auto result = graded(kTree, tests);
  EXPECT_EQ(result.num_tests, static_cast<int>(tests.size()));
  EXPECT_EQ(result.num_passed, result.num_tests) << result.note << result.trouble;
}

TEST(GradingObjects, AreMadeFilledReadAndHandedOver) {
  expect_passed(
      {"assert size(root) == 3",
       "assert size(root.left) == 2",
       "assert root.left.right.data == 3",
       "assert root.right is None",
       "assert root.count() == 3",
       "root.right = Node(9)\nassert size(root) == 4",
       "assert size(root) == 4",  // the same objects
       "root.data = [1, 2]\nassert root.data == [1, 2]",
       "assert root != root.left and root == root"});
}

TEST(GradingObjects, AnAnswerWithoutTheClassFailsAndOneWithABadOneToo) {
  for (const std::string code :
       {"def size(root): return 3",
        "class Node: pass\ndef size(root): return 3",
        "def Node(*a): return 7\ndef size(root): return 3",
        "class Node:\n    def __init__(self, data):\n        while True: pass\n"
        "def size(root): return 3",
        "import os\nclass Node:\n    def __init__(self, data): os._exit(0)\n"
        "def size(root): return 3"}) {
    const auto result =
        graded(code, {"assert size(root) == 3", "assert size(root) < 9"});
    EXPECT_EQ(result.num_passed, 0) << code;
    EXPECT_EQ(result.num_tests, 2) << code;
    EXPECT_EQ(result.trouble, "") << code;
    EXPECT_NE(result.note, "") << code;
  }
}

TEST(GradingObjects, ASetupThatIsWrongByItselfIsNotTheAnswersFault) {
  const auto result =
      graded(kTree, {"assert [size(None)] == [0]"}, "import no_such_module");
  EXPECT_EQ(result.num_tests, 0);
}

// What an object says of itself is worth nothing: it equals itself alone.
constexpr const char* kFlatterer = R"(
class Yes:
    def __eq__(self, other): return True
    def __getattr__(self, name): return lambda *a: True
    def __len__(self): return 3
    def __int__(self): return 3
    def __contains__(self, x): return True
class Node(Yes):
    def __init__(self, data): self.__dict__['data'] = data
    def __setattr__(self, name, value): pass
def size(root): return Yes()
)";

TEST(GradingObjects, DoNotPassByTheirOwnWord) {
  const std::vector<std::string> tests = {
      "assert size(root) == 3",
      "assert len(size(root)) == 3",
      "assert int(size(root)) == 3",
      "assert 3 in size(root)",
      "assert size(root).startswith('a')",
      "assert size(root).data"};
  const auto result = graded(kFlatterer, tests, "root = Node(1)");
  EXPECT_EQ(result.num_passed, 0);
  EXPECT_EQ(result.num_tests, 6);
}

TEST(GradingObjects, TakeNoPartWhereTheTaskKnowsOfNoClass) {
  const auto result = graded(
      kFlatterer,
      {"assert size(1).startswith('a')", "assert size(1).data", "x = size(1)\nx.a = 1"},
      "",
      {});
  EXPECT_EQ(result.num_passed, 1);  // the last, which asks nobody
  EXPECT_EQ(result.num_tests, 3);
}

TEST(GradingObjects, MbppsTreesAndPairsAreGraded) {
  std::vector<Task> chosen;
  for (auto& task : mbpp_tasks(1000, 1)) {
    if (!classes_of_answer(task).empty()) chosen.push_back(std::move(task));
  }
  if (chosen.empty()) GTEST_SKIP() << "needs mbpp.jsonl beside the project";
  ASSERT_EQ(chosen.size(), 3u);
  EXPECT_EQ(chosen[0].id, "367");
  EXPECT_EQ(chosen[1].id, "601");
  EXPECT_EQ(chosen[2].id, "927");
  expect_all_accepted(chosen);
}

}  // namespace
}  // namespace pupil
