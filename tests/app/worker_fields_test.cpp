// What `pupil worker` takes and refuses: the depth of a line, its end, the fields of
// "generate" and their limits.

#include <gtest/gtest.h>

#include "app/tiny_student.h"
#include "app/worker_client.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

class WorkerFields : public ::testing::Test {
 protected:
  WorkerFields() { write_tiny_student(folder_.path() / "model"); }
  std::string model() const { return (folder_.path() / "model").string(); }
  WorkerClient generate() const {
    return WorkerClient({"generate", "--model", model()});
  }

  TempDir folder_;
};

/// The message of the error, of type `type`, that `line` gets; the worker lives on.
std::string refusal(WorkerClient& worker, const std::string& line, const char* type) {
  worker.send(line + "\n");
  auto reply = worker.receive();
  EXPECT_EQ(worker.ask({{"op", "ping"}, {"id", 1}})["ok"], true);
  if (!reply.is_object() || reply["ok"] != false) return "accepted";
  EXPECT_EQ(reply["error"]["type"], type) << reply;
  return reply["error"]["message"];
}

std::string refusal(WorkerClient& worker, const json& more) {
  json request = {{"op", "generate"}, {"id", 1}, {"max_tokens", 1}};
  request.update(more);
  return refusal(worker, json_text(request), "invalid_request");
}

TEST_F(WorkerFields, NoNestedLineEndsEitherKind) {
  std::string deep = std::string(100000, '[') + std::string(100000, ']');
  for (const char* kind : {"generate", "train"}) {
    WorkerClient worker({kind, "--model", model()});
    for (const auto& line :
         {R"({"op":"generate","id":1,"prompt":)" + deep + "}",
          R"({"op":"train_step","id":1,"samples":)" + deep + "}",
          R"({"op":)" + deep + "}",
          R"({"op":"ping","id":)" + deep + "}"}) {
      EXPECT_EQ(
          refusal(worker, line, "invalid_json"), "request: nested deeper than 64");
    }
    EXPECT_EQ(worker.finish().exit_code, 0);
  }
}

TEST_F(WorkerFields, BracketsInPromptsAreNoNesting) {
  auto worker = generate();
  json prompts = json::array();
  for (int i = 0; i < 100; ++i) prompts.push_back({{"prompt", "def f(x): return {"}});
  json request = {
      {"op", "generate"}, {"id", 1}, {"max_tokens", 1}, {"prompts", prompts}};
  auto reply = worker.ask(request);
  ASSERT_EQ(reply["ok"], true) << reply;
  EXPECT_EQ(reply["groups"].size(), 100u);
}

TEST_F(WorkerFields, AnUnknownFieldIsRefused) {
  auto worker = generate();
  auto says = [&](const char* key, const json& value) {
    return refusal(worker, json{{"prompt", "abc"}, {key, value}});
  };
  EXPECT_EQ(
      says("max_completion_length", 2),
      "no such key: 'max_completion_length', TRL's name of 'max_tokens'; expected "
      "'max_tokens'");
  EXPECT_EQ(
      says("num_generations", 4),
      "no such key: 'num_generations', TRL's name of 'n'; expected 'n'");
  EXPECT_EQ(
      says("temperatur", 1), "no such key: 'temperatur'; did you mean temperature?");
  for (const char* key : {"beta", "loss_type", "generation_kwargs", "learning_rate"})
    EXPECT_TRUE(says(key, 1).starts_with("no such key")) << key;
}

TEST_F(WorkerFields, WhatAPromptWouldDropIsRefused) {
  auto worker = generate();
  json named = {{"role", "user"}, {"content", "a"}, {"name", "b"}};
  json call = {{"role", "assistant"}, {"content", ""}, {"tool_calls", json::array()}};
  json several = {{{"prompt", "a"}, {"temperature", 0}}};
  for (const auto& [request, key] : std::vector<std::pair<json, std::string>>{
           {{{"messages", {named}}}, "'name'"},
           {{{"messages", {call}}}, "'tool_calls'"},
           {{{"prompts", {{{"messages", {named}}}}}}, "'name'"},
           {{{"prompts", several}}, "'\"temperature\"'"}}) {
    auto text = refusal(worker, request);
    EXPECT_NE(text.find("got " + key), std::string::npos) << text;
  }
}

TEST_F(WorkerFields, AnEndlessLastLineIsAnswered) {
  auto worker = generate();
  worker.send(std::string(size_t{17} << 20, 'x'));
  EXPECT_EQ(worker.finish().exit_code, 0);
  auto output = worker.child().output();
  ASSERT_NE(output.find('\n'), std::string::npos);
  auto reply = json::parse(output);
  EXPECT_EQ(reply["error"]["type"], "invalid_request");
  EXPECT_EQ(reply["error"]["message"], "a line of more than 16 MiB");
}

// What a run samples in its own process.
TEST_F(WorkerFields, ItsLimitsAreTheConfigs) {
  auto worker = generate();
  for (const auto& [key, value] : std::vector<std::pair<const char*, json>>{
           {"n", 1025},
           {"temperature", 200},
           {"temperature", 0},
           {"top_k", 20000000},
           {"repetition_penalty", 5000},
           {"repetition_penalty", 1e-4},
           {"frequency_penalty", -100}}) {
    json request = {{"op", "generate"}, {"input_ids", {5}}, {"max_tokens", 1}};
    request[key] = value;
    auto reply = worker.ask(request);
    EXPECT_EQ(reply["ok"], true) << key << reply["error"];
  }
  auto says = [&](const char* key, const json& value) {
    return refusal(worker, json{{"input_ids", {5}}, {key, value}});
  };
  EXPECT_EQ(
      says("n", 65537), "n: expected a whole number from 1 to 65536, got '65537'");
  EXPECT_EQ(
      says("top_k", int64_t{1} << 31),
      "top_k: expected a whole number from 0 to 2147483647, got '2147483648'");
  EXPECT_EQ(
      says("repetition_penalty", 0),
      "repetition_penalty: expected a number above 0, got '0'");
  EXPECT_EQ(
      says("temperature", 1e300),
      "temperature: expected a number at least 0, got '1e+300'");
  EXPECT_EQ(
      says("presence_penalty", 101),
      "presence_penalty: expected a number from -100 to 100, got '101'");
}

}  // namespace
}  // namespace pupil::testing
