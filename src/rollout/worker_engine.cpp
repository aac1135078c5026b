#include "rollout/worker_engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "base/json.h"
#include "base/log.h"
#include "base/stopwatch.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

constexpr double kLongestBackoff = 8;

}  // namespace

WorkerEngine::WorkerEngine(
    WorkerOptions options,
    nlohmann::json fingerprint,
    std::filesystem::path adapters,
    std::string adapter_config)
    : options_(std::move(options)),
      fingerprint_(std::move(fingerprint)),
      adapters_(std::move(adapters), std::move(adapter_config)) {}

std::vector<std::vector<Completion>> WorkerEngine::generate(
    const Model& model,
    std::span<const Prompt> prompts,
    int n,
    const SamplingConfig& sampling,
    const WorkerEvents& events) {
  WorkerSamples samples(model, prompts, n, sampling, events);
  const auto request = generate_request(prompts, n, sampling);
  until_done([&] {
    bring_up(model);
    hand_over(model);
    sample(request, samples);
  });
  return samples.take();
}

void WorkerEngine::start(const Model& model) {
  until_done([&] { bring_up(model); });
}

// A process that owes an answer when something is thrown is of no use any more; one
// that refused is not trusted with the next call either.
void WorkerEngine::until_done(const std::function<void()>& work) {
  while (true) {
    try {
      work();
      failures_ = 0;
      return;
    } catch (const WorkerTrouble& trouble) {
      count_failure(trouble.what());
    } catch (...) {
      if (process_ && owes_answer_) process_->kill(), process_.reset();
      throw;
    }
  }
}

void WorkerEngine::count_failure(const std::string& what) {
  std::string text = "[rollout] the worker ";
  if (process_) {
    text += "(process " + std::to_string(process_->pid()) + ") ";
    process_->kill();
  }
  text += what + (process_ ? process_->last_words() : "");
  process_.reset();
  int most = options_.max_failures;
  if (++failures_ >= most) {
    failures_ = 0;
    throw std::runtime_error(
        text + "; given up after " + std::to_string(most) +
        " failures in a row; rollout.backend: in_process samples without it");
  }
  log_warning(
      text + "; another is started and asked again (failure " +
      std::to_string(failures_) + " of at most " + std::to_string(most) + " in a row)");
  if (failures_ < 2) return;
  double seconds =
      std::min(kLongestBackoff, options_.backoff_s * std::exp2(failures_ - 2));
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

// A running process that spoke unasked, or ended, is seen here before it is asked.
void WorkerEngine::bring_up(const Model& model) {
  if (process_) return process_->expect_silence();
  Stopwatch watch;
  loaded_.clear();
  process_ = std::make_unique<WorkerProcess>(options_);
  owes_answer_ = true;
  expect_hello(receive(), model);
  auto reply = reply_to("fingerprint", Json::object());
  for (const auto& [key, value] : fingerprint_.items()) {
    if (reply.value(key, nlohmann::json()) == value) continue;
    owes_answer_ = true;  // it is of no use
    throw std::invalid_argument(
        "[rollout] the worker's " + key + " of " + model.path +
        " is not that of this run: its files have changed; put them back, or start a "
        "new run");
  }
  costs_.start_s += watch.seconds();
  ++costs_.starts;
}

void WorkerEngine::hand_over(const Model& model) {
  Stopwatch watch;
  auto newest = adapters_.directory_for(model.decoder);
  if (newest == loaded_) return;
  reply_to("load_adapters", {{"path", std::filesystem::absolute(newest).string()}});
  loaded_ = newest;
  adapters_.drop_old();
  costs_.adapter_bytes = adapters_.bytes_written();
  costs_.adapter_s += watch.seconds();
}

void WorkerEngine::sample(const Json& request, WorkerSamples& samples) {
  samples.ask_again();
  auto id = ask("generate", request);
  while (owes_answer_) {
    auto message = read_message(receive(), id, samples.bounds());
    if (message.kind != WorkerMessage::Kind::done) {
      samples.add(std::move(message));
      continue;
    }
    samples.expect_whole();
    owes_answer_ = false;
    peak_memory_bytes_ = std::max(peak_memory_bytes_, message.peak_memory_bytes);
  }
}

int64_t WorkerEngine::ask(const char* op, const Json& fields) {
  Json request = {{"op", op}, {"id", next_id_}};
  request.update(fields);
  auto line = json_text(request);
  costs_.message_bytes += std::ssize(line) + 1;
  owes_answer_ = true;
  process_->send(line);
  return next_id_++;
}

nlohmann::json WorkerEngine::reply_to(const char* op, const Json& fields) {
  auto id = ask(op, fields);
  auto reply = read_reply(receive(), id);
  owes_answer_ = false;
  return reply;
}

std::string WorkerEngine::receive() {
  auto line = process_->receive();
  costs_.message_bytes += std::ssize(line) + 1;
  return line;
}

}  // namespace pupil
