// What a worker that samples writes to its stdout (docs/worker_protocol.md): hostile
// until read here.

#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string_view>

#include "data/types.h"
#include "models/model.h"
#include "rollout/generator.h"

namespace pupil {

/// An error that the worker told in place of an answer; it goes on serving.
struct WorkerRefusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What may be in an answer.
struct AnswerBounds {
  size_t num_prompts = 0;
  int rows_per_prompt = 0;
  int max_tokens = 0;  // of a row
  int vocab_size = 0;
  int64_t prompt_tokens = 0;  // of all prompts
};

struct WorkerMessage {
  enum class Kind {
    progress,    // `tokens` are there, `prompt_tokens` have been run
    completion,  // row `row` of prompt `prompt` has ended
    done,        // the reply: nothing more comes
  };
  Kind kind = Kind::done;
  int64_t tokens = 0, prompt_tokens = 0;
  size_t prompt = 0;
  int row = 0;
  Completion completion;           // without its text
  uint64_t peak_memory_bytes = 0;  // of a reply; 0: not told
};

/// Checks the greeting of a worker that is to sample from `model`. Throws WorkerTrouble
/// if it is none, WorkerRefusal if the worker says that it cannot begin, and
/// std::invalid_argument if it is a worker of another protocol, program or model.
void expect_hello(std::string_view line, const Model& model);

/// The reply to the request `id`, which is ok. Throws WorkerTrouble if the line is no
/// reply to it; for an error of type invalid_request std::invalid_argument, for any
/// other WorkerRefusal.
nlohmann::json read_reply(std::string_view line, int64_t id);

/// One message about the request `id`, a streamed "generate". Throws as `read_reply`,
/// and WorkerTrouble for whatever is not within `bounds`.
WorkerMessage read_message(
    std::string_view line, int64_t id, const AnswerBounds& bounds);

/// The request "generate" for those completions, to be streamed.
nlohmann::ordered_json generate_request(
    std::span<const Prompt> prompts, int n, const SamplingConfig& sampling);

}  // namespace pupil
