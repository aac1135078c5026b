// The wire formats of two chat APIs, as pure functions: OpenAI's Chat Completions, with
// the many servers that speak it too, and Anthropic's Messages. Nothing here sends.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/http.h"
#include "data/types.h"
#include "reward/teacher_config.h"

namespace pupil {

enum class ChatProvider { openai, anthropic, local };  // local: nothing is sent

/// Where requests go, and with which key.
struct ChatEndpoint {
  ChatProvider provider = ChatProvider::openai;
  std::string url;  // of the chat method
  std::string model;
  std::string key;       // empty: none is sent; never printed or stored
  std::string key_env;   // the variable it came from
  bool own_host = true;  // the provider's own address, not a compatible server's
  double timeout_s = 60;
};

/// What a chat model is asked.
struct ChatRequest {
  std::string system;             // empty: none
  std::vector<Message> messages;  // user and assistant turns
  double temperature = 0;
  int max_tokens = 1024;
  std::string json_schema;  // a JSON schema of the answer; empty: free text
  int top_logprobs = 0;     // log-probabilities asked for at each token; OpenAI's only
};

struct ChatUsage {
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
};

enum class ChatOutcome {
  ok,            // a whole answer
  length,        // cut off at max_tokens; `text` holds what there is
  refused,       // the model or a content filter declined
  malformed,     // status 200, but not the API's shape
  busy,          // 429: ask again, more slowly
  unavailable,   // network trouble, 5xx, a reply that broke off: ask again
  rejected,      // this request is not acceptable (400, 413, 422, ...)
  unauthorized,  // 401, 403, 404, redirects: no request will ever be acceptable
  out_of_quota,  // no money or quota is left
  over_budget,   // not sent: teacher.max_cost_usd would be passed
  down,          // no request succeeded for teacher.max_outage_s
  cancelled      // not sent: the run is stopping
};

/// How a request ended. Trouble is a value.
struct ChatReply {
  ChatOutcome outcome = ChatOutcome::cancelled;
  std::string text;      // for ok and length
  std::string logprobs;  // of the first tokens, as read_digit takes it; empty: none
  std::string error;     // one line for all others
  ChatUsage usage;
  std::string request_id;  // the provider's, for its support
  int attempts = 0;        // HTTP requests made for it
  double seconds = 0;      // the last of them took
};

/// The tool that a structured answer may have to go through.
inline constexpr const char* kAnswerTool = "submit_answer";

/// How a JSON schema is handed over, the surest way first.
enum class ChatStructure {
  schema,  // a structured answer (response_format, output_config)
  tool,    // the argument of a tool that must be called; Anthropic's API only
  words    // in the instructions alone
};

/// Which optional parameters the server takes; learnt from its complaints.
struct ChatDialect {
  bool max_completion_tokens = true;  // OpenAI's newer name of max_tokens
  bool token_limit_settled = false;   // the other name has been tried
  bool temperature = true;
  ChatStructure structure = ChatStructure::schema;
  int most_top_logprobs = 20;
};

/// Reads one environment variable; empty if it is not set.
using Environment = std::function<std::string(const std::string&)>;

/// This process's environment, with what base/secret.h has hidden.
std::string process_environment(const std::string& name);

/// Checks the configuration and takes the key. Throws std::invalid_argument that names
/// the config key, or the variable to set, at fault.
ChatEndpoint chat_endpoint(const TeacherConfig& config, const Environment& environment);

/// The dialect to begin with.
ChatDialect first_dialect(const ChatEndpoint& endpoint);

/// The request as bytes. Text that is not UTF-8 is repaired with U+FFFD.
HttpRequest to_http(
    const ChatEndpoint& endpoint,
    const ChatDialect& dialect,
    const ChatRequest& request);

/// What an HTTP reply means: the decision by status and error code. Never throws, and
/// neither `text` nor `error` holds the key, whatever the server sent.
ChatReply read_chat_reply(const ChatEndpoint& endpoint, const HttpReply& reply);

/// The dialect without the parameter that `reply` (a 400 or 422) complains about, if
/// `used` has one. Each parameter is given up at most once.
std::optional<ChatDialect> adapted(
    const ChatEndpoint& endpoint, const ChatDialect& used, const HttpReply& reply);

}  // namespace pupil
