// What the teacher's tests share: replies of both providers, a configuration for a
// scripted server, retries that do not wait long, and a folder that goes away.

#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reward/teacher.h"
#include "support/scripted_server.h"

namespace pupil::testing {

inline constexpr const char* kCanaryKey = "sk-canary-0123456789abcdef";

inline ScriptedReply openai_reply(
    const std::string& content, const std::string& finish = "stop") {
  nlohmann::json body = {
      {"id", "chatcmpl-1"},
      {"object", "chat.completion"},
      {"choices",
       {{{"index", 0},
         {"message",
          {{"role", "assistant"}, {"content", content}, {"refusal", nullptr}}},
         {"finish_reason", finish}}}},
      {"usage",
       {{"prompt_tokens", 90}, {"completion_tokens", 10}, {"total_tokens", 100}}}};
  return {.headers = {{"Content-Type", "application/json"}}, .body = body.dump()};
}

inline ScriptedReply anthropic_reply(
    const std::string& text, const std::string& stop = "end_turn") {
  nlohmann::json body = {
      {"id", "msg_1"},
      {"type", "message"},
      {"role", "assistant"},
      {"content",
       {{{"type", "thinking"}, {"thinking", "hm"}},
        {{"type", "text"}, {"text", text}}}},
      {"stop_reason", stop},
      {"usage", {{"input_tokens", 90}, {"output_tokens", 10}}}};
  return {.headers = {{"request-id", "req_1"}}, .body = body.dump()};
}

inline ScriptedReply error_reply(
    int status,
    const std::string& type,
    const std::string& message,
    const std::string& code = "") {
  nlohmann::json error = {{"message", message}, {"type", type}, {"param", nullptr}};
  error["code"] = code.empty() ? nlohmann::json() : nlohmann::json(code);
  return {.status = status, .body = nlohmann::json{{"error", error}}.dump()};
}

/// A judge's valid answer, the same grade for every criterion.
inline std::string grades(int grade, const std::string& reason = "because") {
  return nlohmann::json{
      {"reason", reason},
      {"correctness", grade},
      {"quality", grade},
      {"efficiency", grade},
      {"documentation", grade}}
      .dump();
}

inline TeacherConfig teacher_config(
    const std::string& base_url, const std::string& cache = ":memory:") {
  TeacherConfig config;
  config.provider = "openai";
  config.model = "judge-2026-01-01";
  config.base_url = base_url;
  config.timeout_s = 5;
  config.max_outage_s = 0;  // scripts count requests: no probes between them
  config.cache = cache;
  config.known_answer_rate = 0;  // tests count requests
  return config;
}

inline TeacherOptions fast_options() {
  TeacherOptions options;
  options.environment = [](const std::string& name) -> std::string {
    return name == "OPENAI_API_KEY" || name == "ANTHROPIC_API_KEY" ? kCanaryKey : "";
  };
  options.retry = RetryPolicy{.max_retries = 3, .first_s = 0.01, .longest_s = 0.04};
  return options;
}

/// A task and its completions, alive as long as the samples that point to them.
struct Answers {
  Task task;
  std::vector<Completion> completions;

  explicit Answers(const std::vector<std::string>& texts) {
    task.prompt = "Write a function f(x) that doubles x.";
    for (const auto& text : texts) {
      completions.emplace_back();
      completions.back().text = text;
    }
  }
  std::vector<Sample> samples() const {
    std::vector<Sample> out;
    for (const auto& completion : completions) out.push_back({&task, &completion});
    return out;
  }
};

/// Different programs, each a valid answer of its own.
inline std::string program(int number) {
  return "```python\ndef f(x):\n    return x * 2 + " + std::to_string(number) + "\n```";
}

inline std::vector<std::string> numbered_programs(int count) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) out.push_back(program(i));
  return out;
}

/// On a clock that only goes forward.
inline double seconds() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "pupil.XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("cannot make " + name);
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace pupil::testing
