// What `pupil train` asks of its worker beside the rest.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "app/tiny_student.h"
#include "app/worker_client.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

class WorkerOfARun : public ::testing::Test {
 protected:
  WorkerOfARun() { write_tiny_student(folder_.path() / "model"); }
  std::string model() const { return (folder_.path() / "model").string(); }

  TempDir folder_;
};

TEST_F(WorkerOfARun, StreamsWhatItWouldReplyAtTheEnd) {
  WorkerClient worker({"generate", "--model", model()});
  json request = {
      {"op", "generate"},
      {"id", 1},
      {"prompts", {{{"input_ids", {5, 6, 7}}}, {{"input_ids", {9}}}}},
      {"keys", {4, 9}},
      {"n", 3},
      {"max_tokens", 20}};
  auto whole = worker.ask(request);
  ASSERT_EQ(whole["ok"], true) << whole;
  request["stream"] = true;
  worker.send(json_text(request) + "\n");
  for (int i = 0; i < 6; ++i) {
    auto message = worker.receive();
    ASSERT_EQ(message["id"], 1) << message;
    auto completion = message["completion"];
    size_t prompt = completion["prompt"], row = completion["row"];
    completion.erase("prompt");
    completion.erase("row");
    EXPECT_EQ(completion, whole["groups"].at(prompt)["completions"].at(row));
  }
  auto reply = worker.receive();
  EXPECT_EQ(reply["ok"], true);
  EXPECT_EQ(reply.size(), 3u) << reply;
  EXPECT_GT(reply["usage"]["peak_memory_bytes"], 0);
}

TEST_F(WorkerOfARun, TellsProgressBeforeTheFirstToken) {
  WorkerClient worker({"generate", "--model", model(), "--rollout.prefill_chunk=10"});
  json request = {
      {"op", "generate"},
      {"id", 1},
      {"input_ids", std::vector<int>(200, 5)},
      {"max_tokens", 4},
      {"progress_s", 1e-9}};
  worker.send(json_text(request) + "\n");
  for (int chunk = 1; chunk < 20; ++chunk) {
    auto progress = worker.receive()["progress"];
    EXPECT_EQ(
        progress,
        json({{"prompt_tokens", 10 * chunk}, {"tokens", 0}, {"completions", 0}}));
  }
  auto message = worker.receive();
  EXPECT_EQ(message["progress"]["tokens"], 1) << message;
  while (message.contains("progress")) message = worker.receive();
  EXPECT_EQ(message["ok"], true);
}

size_t threads_after_work(WorkerClient& worker) {
  auto reply = worker.ask(
      {{"op", "generate"}, {"id", 1}, {"input_ids", {5, 6, 7}}, {"max_tokens", 4}});
  EXPECT_EQ(reply["ok"], true) << reply;
  auto tasks = "/proc/" + std::to_string(worker.child().pid()) + "/task";
  std::filesystem::directory_iterator all(tasks);
  return static_cast<size_t>(std::distance(all, {}));
}

TEST_F(WorkerOfARun, ComputesWithAsManyThreadsAsItIsTold) {
  WorkerClient one({"generate", "--model", model(), "--threads", "1"});
  WorkerClient four({"generate", "--model", model(), "--threads=4"});
  WorkerClient same({"generate", "--model", model(), "--hardware.threads=4"});
  EXPECT_EQ(threads_after_work(four), threads_after_work(one) + 3);
  EXPECT_EQ(threads_after_work(same), threads_after_work(four));
}

TEST_F(WorkerOfARun, TellsItsModelsFilesApart) {
  WorkerClient worker({"generate", "--model", model()});
  auto before = worker.ask({{"op", "fingerprint"}, {"id", 1}});
  EXPECT_EQ(before["model_sha256"].get<std::string>().size(), 64u) << before;
  std::ofstream(folder_.path() / "model/config.json", std::ios::app) << "\n";
  auto after = worker.ask({{"op", "fingerprint"}, {"id", 1}});
  EXPECT_NE(after["model_sha256"], before["model_sha256"]);
  EXPECT_EQ(after["tokenizer_sha256"], before["tokenizer_sha256"]);
}

}  // namespace
}  // namespace pupil::testing
