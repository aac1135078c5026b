#include "data/prompt_file.h"

#include <gtest/gtest.h>

#include "data/temp_file.h"

namespace pupil {
namespace {

std::string refusal(const std::string& line) {
  return error_of([&] { parse_prompt_line(line, "p.jsonl:2", 1); });
}

TEST(PromptFile, ReadsTheThreeForms) {
  TempFile file(R"({"prompt": "a"}

{"messages": [{"role": "system", "content": "b"}, {"role": "user", "content": ""}]}
{"input_ids": [5, 6], "id": 7}
)");
  auto prompts = read_prompt_file(file.path);
  ASSERT_EQ(prompts.size(), 3u);
  EXPECT_EQ(prompts[0].text, "a");
  EXPECT_EQ(prompts[1].messages.at(0).role, "system");
  EXPECT_EQ(prompts[1].id, "1");
  EXPECT_EQ(prompts[2].input_ids, (std::vector<int>{5, 6}));
  EXPECT_EQ(prompts[2].id, "7");
}

// A tool call, a speaker's name: the template would not see them.
TEST(PromptFile, RefusesWhatItWouldDrop) {
  EXPECT_EQ(
      refusal(
          R"({"messages":[{"role":"assistant","content":"","tool_calls":[{"id":"1"}]}]})"),
      "[prompts] p.jsonl:2: \"messages\": expected no keys but role, content, got "
      "'tool_calls'; remove it");
  EXPECT_EQ(
      refusal(R"({"messages":[{"role":"user","content":"a"}],"tools":[{"type":"f"}]})"),
      "[prompts] p.jsonl:2: \"tools\": no template is given them here; remove the key");
  for (const char* line :
       {R"({"messages":[{"role":"user","content":"a","name":"b"}]})",
        R"({"messages":[{"role":"user","content":"a","n\nm":1}]})"}) {
    auto text = refusal(line);
    EXPECT_NE(text.find("expected no keys but"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
}

TEST(PromptFile, PassesOverOtherColumns) {
  auto line = R"({"prompt":"a","tests":["assert 1"],"tools":[]})";
  EXPECT_EQ(parse_prompt_line(line, "p.jsonl:1", 0).text, "a");
}

}  // namespace
}  // namespace pupil
