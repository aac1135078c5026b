// `pupil worker`: it does what the other commands do, and no line ends it.

#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <fstream>

#include "app/run_program.h"
#include "app/tiny_student.h"
#include "app/worker_client.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

class Worker : public ::testing::Test {
 protected:
  Worker() { write_tiny_student(folder_.path() / "model"); }
  std::string model() const { return (folder_.path() / "model").string(); }
  std::string path(const char* name) const { return (folder_.path() / name).string(); }
  std::vector<std::string> generate() const { return {"generate", "--model", model()}; }
  std::vector<std::string> train() const {
    return {"train", "--model", model(), "--lora.rank=4"};
  }

  TempDir folder_;
};

/// Four samples of two prompts, as a caller sampled them.
json some_samples() {
  json samples = json::array();
  for (int i = 0; i < 4; ++i) {
    int first = i < 2 ? 5 : 9;
    samples.push_back(
        {{"input_ids", {first, 6, 7, 10 + i, 20 + i, 30 - i, 1}},
         {"prompt_length", 3},
         {"advantage", i % 2 == 0 ? 1.0 : -0.5 - 0.1 * i}});
  }
  return samples;
}

TEST_F(Worker, SaysHelloWithWhatACallerNeeds) {
  WorkerClient worker(generate());
  EXPECT_EQ(worker.hello["op"], "hello");
  EXPECT_EQ(worker.hello["proto"], 1);
  EXPECT_EQ(worker.hello["kind"], "generate");
  EXPECT_EQ(worker.hello["pid"], worker.child().pid());
  EXPECT_EQ(worker.hello["vocab_size"], 48);
  EXPECT_EQ(worker.hello["eos_ids"], json({1}));
  EXPECT_EQ(
      worker.ask({{"op", "ping"}, {"id", "a"}}), json({{"id", "a"}, {"ok", true}}));
  EXPECT_EQ(worker.finish().exit_code, 0);
}

TEST_F(Worker, GeneratesWhatTheCommandGenerates) {
  std::ofstream(folder_.path() / "prompts.jsonl") << R"({"input_ids": [5, 6, 7]})"
                                                  << "\n"
                                                  << R"({"input_ids": [9]})" << "\n";
  auto result = run_in(
      folder_.path().string(),
      "generate --model model --json --prompts prompts.jsonl -n 3 --max-tokens 20 "
      "--temperature 0.9 --seed 4 --repetition-penalty 1.2");
  WorkerClient worker(generate());
  json request = {
      {"op", "generate"},
      {"id", 7},
      {"prompts", {{{"input_ids", {5, 6, 7}}}, {{"input_ids", {9}}}}},
      {"n", 3},
      {"max_tokens", 20},
      {"temperature", 0.9},
      {"repetition_penalty", 1.2},
      {"seed", 4}};
  auto reply = worker.ask(request);
  ASSERT_EQ(reply["ok"], true) << reply;
  EXPECT_EQ(reply["id"], 7);
  std::istringstream lines(result.output);
  long tokens = 0;
  for (const auto& group : reply["groups"])
    for (const auto& completion : group["completions"]) {
      std::string line;
      ASSERT_TRUE(std::getline(lines, line)) << result.errors;
      auto expected = json::parse(line);
      for (const char* key : {"text", "ids", "logprobs", "finish_reason"})
        EXPECT_EQ(completion[key], expected[key]) << key;
      tokens += std::ssize(completion["ids"]);
    }
  EXPECT_EQ(reply["usage"]["completion_tokens"], tokens);
  request.erase("prompts");
  request["input_ids"] = {5, 6, 7};
  EXPECT_EQ(worker.ask(request)["completions"], reply["groups"][0]["completions"]);
}

TEST_F(Worker, TellsProgressWhereItIsAskedTo) {
  WorkerClient worker(generate());
  worker.send(R"({"op":"generate","id":1,"input_ids":[5],"n":64,"max_tokens":200,)"
              R"("progress_s":0.001})"
              "\n");
  auto first = worker.receive();
  ASSERT_TRUE(first.contains("progress")) << first;
  EXPECT_EQ(first["id"], 1);
  EXPECT_GT(first["progress"]["tokens"], 0);
  while (first.contains("progress")) first = worker.receive();
  EXPECT_EQ(first["ok"], true);
}

// What a policy is worth is known from its own log-probabilities: the loss of the same
// numbers by `pupil loss`.
TEST_F(Worker, ATrainStepHasTheLossOfItsLogProbabilities) {
  WorkerClient worker(train());
  auto samples = some_samples();
  json rows = json::array(), mask = json::array(), advantages = json::array();
  std::string ids;
  for (const auto& s : samples)
    ids += R"({"input_ids":)" + s["input_ids"].dump() + "}\n";
  write_text(folder_.path() / "ids.jsonl", ids);
  auto scored =
      run_in(folder_.path().string(), "logprobs --model model < ids.jsonl").output;
  std::istringstream lines(scored);
  for (std::string line; std::getline(lines, line);) {
    auto all = json::parse(line)["logprobs"];
    rows.push_back(json(all.begin() + 2, all.end()));
    mask.push_back({1, 1, 1, 1});
  }
  json old = rows;
  for (size_t i = 0; i < samples.size(); ++i) {
    advantages.push_back(samples[i]["advantage"]);
    for (size_t t = 0; t < 4; ++t)
      old[i][t] = old[i][t].get<double>() + 0.3 * std::sin(1.0 + i + 3.0 * t);
    samples[i]["old_logprobs"] = old[i];
  }
  for (const char* type : {"grpo", "dapo", "cispo", "luspo"}) {
    json settings = {{"loss_type", type}, {"epsilon", 0.1}, {"beta", 0.2}};
    json request = settings, loss = settings;
    request.update(
        {{"op", "train_step"}, {"id", 1}, {"samples", samples}, {"update", false}});
    loss.update(
        {{"logprobs", rows},
         {"old_logprobs", old},
         {"ref_logprobs", rows},
         {"mask", mask},
         {"advantages", advantages}});
    write_text(folder_.path() / "loss.jsonl", loss.dump() + "\n");
    auto expected =
        json::parse(run_in(folder_.path().string(), "loss < loss.jsonl").output);
    auto reply = worker.ask(request);
    ASSERT_EQ(reply["ok"], true) << reply;
    EXPECT_NEAR(reply["loss"], expected["loss"], 1e-5) << type;
    EXPECT_NEAR(reply["kl"], 0, 1e-6);  // the adapter changes nothing yet
    EXPECT_EQ(reply["tokens"], 16);
    EXPECT_GT(reply["grad_norm"], 0);
  }
}

TEST_F(Worker, AccumulatedRequestsAreOneStep) {
  WorkerClient whole(train()), parts(train());
  auto samples = some_samples();
  json step = {
      {"op", "train_step"},
      {"id", 1},
      {"loss_type", "dapo"},
      {"num_items_in_batch", 16},
      {"learning_rate", 0.01}};
  auto part = [&](int begin, bool update) {
    auto request = step;
    request["samples"] = json(samples.begin() + begin, samples.begin() + begin + 2);
    request["update"] = update;
    return parts.ask(request);
  };
  for (int i = 0; i < 3; ++i) {
    auto request = step;
    request["samples"] = samples;
    auto expected = whole.ask(request), first = part(0, false), second = part(2, true);
    ASSERT_EQ(expected["ok"], true) << expected;
    EXPECT_EQ(first["updated"], false);
    EXPECT_NEAR(
        first["loss"].get<double>() + second["loss"].get<double>(),
        expected["loss"].get<double>(),
        1e-6);
    EXPECT_NEAR(second["grad_norm"], expected["grad_norm"], 1e-6);
  }
}

// The losses of the two cancel out, their gradients are too large for the loss's scale.
TEST_F(Worker, AGradientThatOverflowsIsDropped) {
  auto arguments = train();
  arguments.push_back("--train.loss_scaling=on");
  WorkerClient worker(arguments);
  auto step = [&](double advantage, bool update) {
    auto samples = some_samples();
    for (size_t i = 0; i < samples.size(); ++i)
      samples[i]["advantage"] = i % 2 == 0 ? advantage : -advantage;
    return worker.ask(
        {{"op", "train_step"}, {"id", 1}, {"samples", samples}, {"update", update}});
  };
  auto expected = step(1, false)["grad_norm"];
  auto failed = step(1e35, false);
  ASSERT_EQ(failed["ok"], false) << failed;
  EXPECT_EQ(failed["error"]["message"], "the gradient is not finite");
  auto next = step(1, true);
  ASSERT_EQ(next["ok"], true) << next;
  EXPECT_NEAR(next["grad_norm"], expected, 1e-6);
}

// What one worker learns the other samples from, handed over by its path.
TEST_F(Worker, AdaptersAreHandedOverByPath) {
  WorkerClient sampler(generate()), trainer(train());
  json ask = {
      {"op", "generate"},
      {"id", 1},
      {"input_ids", {5, 6, 7}},
      {"temperature", 0},
      {"max_tokens", 8}};
  auto before = sampler.ask(ask);
  for (int i = 0; i < 5; ++i) {
    auto reply = trainer.ask(
        {{"op", "train_step"},
         {"id", i},
         {"learning_rate", 0.05},
         {"samples",
          {{{"input_ids", {5, 6, 7, 30, 31, 32, 1}},
            {"prompt_length", 3},
            {"advantage", 1}}}}});
    ASSERT_EQ(reply["ok"], true) << reply;
  }
  ASSERT_EQ(trainer.ask({{"op", "save_adapters"}, {"path", path("a")}})["ok"], true);
  ASSERT_EQ(sampler.ask({{"op", "load_adapters"}, {"path", path("a")}})["ok"], true);
  auto after = sampler.ask(ask);
  EXPECT_EQ(after["completions"][0]["ids"], json({30, 31, 32, 1}));
  EXPECT_NE(before["completions"], after["completions"]);
  ASSERT_EQ(sampler.ask({{"op", "load_adapters"}, {"path", nullptr}})["ok"], true);
  EXPECT_EQ(sampler.ask(ask)["completions"], before["completions"]);
  WorkerClient fresh({"train", "--model", model(), "--adapter", path("a")});
  ASSERT_EQ(fresh.ask({{"op", "save_adapters"}, {"path", path("b")}})["ok"], true);
  EXPECT_EQ(
      read_text(path("a/adapters.safetensors")),
      read_text(path("b/adapters.safetensors")));
}

struct BadLine {
  std::string line;
  const char* type;  // of the error
  const char* says;
};

std::vector<BadLine> bad_lines() {
  std::string deep(100000, '['), long_line(size_t{17} << 20, 'x');
  auto generate = [](const std::string& rest) {
    return R"({"op":"generate","id":1,"input_ids":[5],"max_tokens":2,)" + rest + "}";
  };
  return {
      {"garbage", "invalid_json", "request"},
      {"{\"op\":\"ping\"", "invalid_json", ""},
      {"{\"op\":\"ping\"} {}", "invalid_json", ""},
      {"[1,2]", "invalid_request", "object"},
      {"7", "invalid_request", "object"},
      {"null", "invalid_request", "object"},
      {deep, "invalid_json", ""},
      {long_line, "invalid_request", "16 MiB"},
      {"{\"op\":\"\xff\xfe\"}", "invalid_json", ""},
      {std::string("{\"op\":\"pi\0ng\"}", 14), "invalid_json", ""},
      {"{}", "invalid_request", "op"},
      {R"({"op":7})", "invalid_request", "op"},
      {R"({"op":"gener"})", "unknown_op", "generate"},
      {R"({"op":"train_step"})", "unknown_op", "generate"},
      {R"({"op":"generate"})", "invalid_request", "prompt"},
      {generate(R"("prompt":"x")"), "invalid_request", "prompt"},
      {generate(R"("n":0)"), "invalid_request", "n:"},
      {generate(R"("n":1e9)"), "invalid_request", "n:"},
      {generate(R"("temperature":-1)"), "invalid_request", "temperature"},
      {generate(R"("temperature":NaN)"), "invalid_json", ""},
      {generate(R"("top_p":2)"), "invalid_request", "top_p"},
      {generate(R"("top_k":"all")"), "invalid_request", "top_k"},
      {generate(R"("colour":1)"), "invalid_request", "colour"},
      {generate(R"("stop":[""])"), "invalid_request", "stop"},
      {generate(R"("stop":"x")"), "invalid_request", "stop"},
      {generate(R"("seed":-1)"), "invalid_request", "seed"},
      {generate(R"("temperature":1e999)"), "invalid_json", "too large"},
      {generate(R"("stream":1)"), "invalid_request", "stream"},
      {generate(R"("keys":[])"), "invalid_request", "keys"},
      {R"({"op":"generate","prompts":[{"prompt":"x"}],"keys":[1,2]})",
       "invalid_request",
       "keys"},
      {R"({"op":"generate","prompts":[{"prompt":"x"}],"keys":[-1]})",
       "invalid_request",
       "keys"},
      {R"({"op":"generate","prompts":[{"prompt":"x"}],"keys":[1],"key":1})",
       "invalid_request",
       "keys"},
      {generate(R"("logit_bias":{"x":1})"), "invalid_request", "logit_bias"},
      {generate(R"("logit_bias":{"48":1})"), "invalid_request", "logit_bias"},
      {R"({"op":"generate","input_ids":[5],"max_tokens":256})",
       "invalid_request",
       "positions"},
      {R"({"op":"generate","input_ids":[]})", "invalid_request", "input_ids"},
      {R"({"op":"generate","input_ids":[48]})", "invalid_request", "48"},
      {R"({"op":"generate","prompts":[]})", "invalid_request", "prompts"},
      {R"({"op":"load_adapters"})", "invalid_request", "path"},
      {R"({"op":"load_adapters","path":"/nowhere"})", "invalid_request", "/nowhere"},
  };
}

TEST_F(Worker, NoLineEndsIt) {
  WorkerClient worker(generate());
  json ask = {{"op", "generate"}, {"id", 1}, {"input_ids", {5}}, {"max_tokens", 4}};
  auto expected = worker.ask(ask)["completions"];
  for (const auto& bad : bad_lines()) {
    worker.send(bad.line + "\n");
    auto reply = worker.receive();
    auto shown = bad.line.substr(0, 60);
    ASSERT_TRUE(reply.is_object()) << shown;
    EXPECT_EQ(reply["ok"], false) << shown;
    EXPECT_EQ(reply["error"]["type"], bad.type) << shown << reply;
    std::string message = reply["error"]["message"];
    EXPECT_NE(message.find(bad.says), std::string::npos) << shown << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
    EXPECT_EQ(worker.ask(ask)["completions"], expected) << shown;
  }
}

TEST_F(Worker, NoTrainRequestEndsIt) {
  WorkerClient worker(train());
  auto with = [](const char* key, const json& value) {
    auto samples = some_samples();
    samples[1][key] = value;
    return json({{"op", "train_step"}, {"id", 1}, {"samples", samples}});
  };
  json good = {
      {"op", "train_step"}, {"id", 1}, {"samples", some_samples()}, {"update", false}};
  auto more = [&](const char* key, const json& value) {
    auto request = good;
    request[key] = value;
    return request;
  };
  for (const auto& [request, says] : std::vector<std::pair<json, const char*>>{
           {{{"op", "train_step"}}, "samples"},
           {more("samples", json::array()), "samples"},
           {more("samples", {1}), "samples.0"},
           {with("input_ids", 1), "samples.1.input_ids"},
           {with("input_ids", {5, 48}), "below 48"},
           {with("input_ids", std::vector<int>(300, 5)), "256"},
           {with("prompt_length", 0), "samples.1.prompt_length"},
           {with("prompt_length", 7), "samples.1.prompt_length"},
           {with("advantage", "much"), "samples.1.advantage"},
           {with("old_logprobs", {-1, -1}), "samples.1.old_logprobs"},
           {with("old_logprobs", {-1, -1, -1, -1}), "in all or in none"},
           {more("loss_type", "gpro"), "loss_type"},
           {more("beta", "x"), "beta"},
           {more("learning_rate", -1), "learning_rate"},
           {more("colour", 1), "colour"},
           {{{"op", "save_adapters"}}, "path"},
           {{{"op", "save_adapters"}, {"path", "/proc/x/y"}}, "/proc"},
           {{{"op", "load_adapters"}, {"path", model()}}, ""}}) {
    auto reply = worker.ask(request);
    ASSERT_EQ(reply["ok"], false) << request << reply;
    std::string message = reply["error"]["message"];
    EXPECT_NE(message.find(says), std::string::npos) << message;
  }
  EXPECT_EQ(worker.ask(good)["ok"], true);
}

TEST_F(Worker, ALastLineWithoutAnEndIsAnswered) {
  WorkerClient worker(generate());
  worker.send(R"({"op":"ping","id":5})");
  EXPECT_EQ(worker.finish().exit_code, 0);
  EXPECT_EQ(json::parse(worker.child().output())["id"], 5);
}

TEST_F(Worker, ShutdownIsAnsweredAndEndsIt) {
  WorkerClient worker(generate());
  EXPECT_EQ(worker.ask({{"op", "shutdown"}, {"id", 1}})["ok"], true);
  EXPECT_EQ(worker.finish().exit_code, 0);
}

TEST_F(Worker, WithoutAModelItSaysSoAndFails) {
  WorkerClient worker({"generate", "--model", path("none")});
  EXPECT_EQ(worker.hello["ok"], false);
  EXPECT_NE(
      worker.hello["error"]["message"].get<std::string>().find("none"),
      std::string::npos);
  EXPECT_EQ(worker.finish().exit_code, 1);
}

// In the middle of minutes of work: who asked for it is gone.
TEST_F(Worker, EndsWithItsReader) {
  auto result = run_shell(
      "cd '" + folder_.path().string() +
      "'; (echo '{\"op\":\"generate\",\"id\":1,"
      "\"input_ids\":[5],\"n\":1024,\"max_tokens\":250,\"min_tokens\":250}'; sleep 2) "
      "| "
      "(timeout 30 '" PUPIL_EXECUTABLE
      "' worker generate --model model; echo $? > code) "
      "| head -1");
  EXPECT_NE(result.output.find("hello"), std::string::npos);
  EXPECT_EQ(read_text(folder_.path() / "code"), "0\n");
}

}  // namespace
}  // namespace pupil::testing
