// The wire formats of both providers, and what errors mean.

#include "reward/chat_api.h"

#include <gtest/gtest.h>

#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

using enum ChatOutcome;
using nlohmann::json;

ChatEndpoint endpoint_of(const std::string& provider, const char* base_url = nullptr) {
  TeacherConfig config;
  config.provider = provider;
  config.model = "m";
  if (base_url) config.base_url = base_url;
  return chat_endpoint(config, fast_options().environment);
}

ChatRequest request() {
  ChatRequest out;
  out.system = "be fair";
  out.messages = {{"user", "hi"}, {"assistant", "yes"}, {"user", "grade"}};
  out.temperature = 0.25;
  out.max_tokens = 99;
  out.json_schema = R"({"type":"object"})";
  return out;
}

bool has_header(const HttpRequest& http, const std::string& line) {
  return std::find(http.headers.begin(), http.headers.end(), line) !=
         http.headers.end();
}

TEST(ChatApi, WritesOpenAi) {
  ChatEndpoint endpoint = endpoint_of("openai");
  HttpRequest http = to_http(endpoint, first_dialect(endpoint), request());
  EXPECT_EQ(http.url, "https://api.openai.com/v1/chat/completions");
  EXPECT_TRUE(has_header(http, std::string("Authorization: Bearer ") + kCanaryKey));
  json body = json::parse(http.body);
  EXPECT_EQ(body["messages"].size(), 4u);
  EXPECT_EQ(body["messages"][0], (json{{"role", "system"}, {"content", "be fair"}}));
  EXPECT_EQ(body["max_completion_tokens"], 99);
  EXPECT_FALSE(body.contains("max_tokens"));
  EXPECT_EQ(body["temperature"], 0.25);
  EXPECT_EQ(body["response_format"]["json_schema"]["strict"], true);
  EXPECT_EQ(http.body.find(kCanaryKey), std::string::npos);
}

TEST(ChatApi, CompatibleServersAreReachedByTheirBaseUrl) {
  const std::pair<const char*, const char*> kUrls[] = {
      {"https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1/chat/completions"},
      {"https://r.openai.azure.com/openai/v1/",
       "https://r.openai.azure.com/openai/v1/chat/completions"},
      {"http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1/chat/completions"}};
  for (const auto& [base, url] : kUrls) {
    EXPECT_EQ(endpoint_of("openai", base).url, url);
  }
}

TEST(ChatApi, WritesAnthropic) {
  for (const char* base :
       {"https://a.test", "https://a.test/v1", "https://a.test/v1/"}) {
    ChatEndpoint endpoint = endpoint_of("anthropic", base);
    EXPECT_EQ(endpoint.url, "https://a.test/v1/messages");
  }
  ChatEndpoint endpoint = endpoint_of("anthropic");
  HttpRequest http = to_http(endpoint, first_dialect(endpoint), request());
  EXPECT_EQ(http.url, "https://api.anthropic.com/v1/messages");
  EXPECT_TRUE(has_header(http, std::string("x-api-key: ") + kCanaryKey));
  EXPECT_TRUE(has_header(http, "anthropic-version: 2023-06-01"));
  json body = json::parse(http.body);
  EXPECT_EQ(body["system"], "be fair");
  EXPECT_EQ(body["messages"].size(), 3u);
  EXPECT_EQ(body["max_tokens"], 99);
  EXPECT_EQ(body["output_config"]["format"]["type"], "json_schema");
}

TEST(ChatApi, AToolIsASchemaInOtherWords) {
  ChatEndpoint endpoint = endpoint_of("anthropic");
  ChatDialect dialect = first_dialect(endpoint);
  dialect.structure = ChatStructure::tool;
  json body = json::parse(to_http(endpoint, dialect, request()).body);
  EXPECT_FALSE(body.contains("output_config"));
  ASSERT_EQ(body["tools"].size(), 1u);
  EXPECT_EQ(body["tools"][0]["name"], kAnswerTool);
  EXPECT_EQ(body["tools"][0]["input_schema"]["type"], "object");
  EXPECT_EQ(body["tool_choice"]["name"], kAnswerTool);

  HttpReply http;
  http.status = 200;
  auto answer = [&](const char* name, const char* input) {
    http.body = R"({"stop_reason":"tool_use","content":[{"type":"text","text":"so:"},)"
                R"({"type":"tool_use","name":")" +
                std::string(name) + R"(","input":)" + input + "}]}";
    return read_chat_reply(endpoint, http);
  };
  EXPECT_EQ(answer(kAnswerTool, R"({"score": 7})").text, R"({"score":7})");
  EXPECT_EQ(answer("another", "{}").outcome, ChatOutcome::malformed);
  EXPECT_EQ(answer(kAnswerTool, "7").outcome, ChatOutcome::malformed);
}

TEST(ChatApi, RepairsTextThatIsNoUtf8) {
  ChatEndpoint endpoint = endpoint_of("openai");
  ChatRequest broken = request();
  broken.messages[0].content =
      "a\xff"
      "b";
  json body = json::parse(to_http(endpoint, first_dialect(endpoint), broken).body);
  EXPECT_EQ(
      body["messages"][1]["content"],
      "a\xef\xbf\xbd"
      "b");
}

ChatReply read(const std::string& provider, const ScriptedReply& scripted) {
  HttpReply http;
  http.status = scripted.status;
  http.body = scripted.body;
  for (const auto& [name, value] : scripted.headers) http.headers[name] = value;
  return read_chat_reply(endpoint_of(provider), http);
}

TEST(ChatApi, ReadsAnswersAndUsage) {
  ChatReply openai = read("openai", openai_reply("yes"));
  EXPECT_EQ(openai.outcome, ok);
  EXPECT_EQ(openai.text, "yes");
  EXPECT_EQ(openai.usage.input_tokens, 90);
  EXPECT_EQ(openai.usage.output_tokens, 10);
  ChatReply anthropic = read("anthropic", anthropic_reply("yes"));
  EXPECT_EQ(anthropic.outcome, ok);
  EXPECT_EQ(anthropic.text, "yes");  // without the thinking block
  EXPECT_EQ(anthropic.usage.input_tokens, 90);
  EXPECT_EQ(anthropic.request_id, "req_1");
}

TEST(ChatApi, ReadsEveryWayToEnd) {
  EXPECT_EQ(read("openai", openai_reply("x", "length")).outcome, length);
  EXPECT_EQ(read("openai", openai_reply("x", "content_filter")).outcome, refused);
  EXPECT_EQ(read("openai", openai_reply("x", "tool_calls")).outcome, malformed);
  EXPECT_EQ(read("openai", openai_reply("x", "")).outcome, malformed);
  EXPECT_EQ(read("anthropic", anthropic_reply("x", "stop_sequence")).outcome, ok);
  EXPECT_EQ(read("anthropic", anthropic_reply("x", "max_tokens")).outcome, length);
  EXPECT_EQ(read("anthropic", anthropic_reply("x", "refusal")).outcome, refused);
  EXPECT_EQ(read("anthropic", anthropic_reply("x", "tool_use")).outcome, malformed);
  EXPECT_EQ(read("anthropic", anthropic_reply("x", "pause_turn")).outcome, malformed);
}

// One field of a good body changed at a time: never a crash, never an answer.
TEST(ChatApi, BodiesOfAnotherShapeAreMalformed) {
  for (const char* body : {
           "[]",
           "1",
           "\"text\"",
           "null",
           "{}",
           R"({"choices":null})",
           R"({"choices":{}})",
           R"({"choices":[1]})",
           R"({"choices":[{}]})",
           R"({"choices":[{"message":5,"finish_reason":"stop"}]})",
           R"({"choices":[{"message":{"content":null},"finish_reason":"stop"}]})",
           R"({"choices":[{"message":{"content":["x"]},"finish_reason":"stop"}]})",
           R"({"choices":[{"message":{"content":"x"},"finish_reason":null}]})",
           R"({"content":[{"type":"text"}],"stop_reason":"end_turn"})",
           R"({"content":"x","stop_reason":"end_turn"})",
           R"({"content":[],"stop_reason":"end_turn"})",
           R"({"content":[null,[],{"type":7}],"stop_reason":"end_turn"})",
           R"({"usage":{"prompt_tokens":-5,"input_tokens":"x"},"stop_reason":5})",
       }) {
    for (const char* provider : {"openai", "anthropic"}) {
      ChatReply reply = read(provider, {.body = body});
      EXPECT_EQ(reply.outcome, malformed) << provider << body;
      EXPECT_FALSE(reply.error.empty()) << provider << body;
    }
  }
}

TEST(ChatApi, SurvivesNestingWithoutEnd) {
  ScriptedReply deep;
  deep.body =
      R"({"detail":)" + std::string(1 << 20, '[') + std::string(1 << 20, ']') + "}";
  EXPECT_EQ(read("openai", deep).outcome, malformed);
  deep.status = 422;
  EXPECT_EQ(read("openai", deep).outcome, rejected);
}

TEST(ChatApi, TellsMoneyFromHurry) {
  auto outcome = [](int status, const char* body) {
    return read("openai", {.status = status, .body = body}).outcome;
  };
  EXPECT_EQ(
      outcome(429, R"({"error":{"type":"insufficient_quota","code":null}})"),
      out_of_quota);
  EXPECT_EQ(outcome(429, R"({"error":{"code":"insufficient_quota"}})"), out_of_quota);
  EXPECT_EQ(
      outcome(429, R"({"error":{"code":"credit_balance_exhausted"}})"), out_of_quota);
  EXPECT_EQ(
      outcome(
          429,
          R"({"type":"error","error":{"type":"rate_limit_error",
              "details":{"error_code":"enforced_spend_limit_reached"}}})"),
      out_of_quota);
  EXPECT_EQ(
      outcome(400, R"({"error":{"message":"Your credit balance is too low to ..."}})"),
      out_of_quota);
  EXPECT_EQ(outcome(402, ""), out_of_quota);
  EXPECT_EQ(outcome(429, R"({"error":{"type":"rate_limit_error"}})"), busy);
  EXPECT_EQ(outcome(429, R"({"error":{"type":"slow_down"}})"), busy);
  EXPECT_EQ(outcome(429, R"({"error":"Too many"})"), busy);
  EXPECT_EQ(outcome(429, R"({"object":"error","code":1300})"), busy);
  EXPECT_EQ(outcome(429, "<html>"), busy);
  EXPECT_EQ(outcome(500, R"({"error":{"message":"quota"}})"), unavailable);
}

TEST(ChatApi, ErrorsAreOneShortLine) {
  auto error = [](const std::string& body) {
    return read("openai", {.status = 400, .body = body}).error;
  };
  EXPECT_EQ(
      error(R"({"error":{"message":"a\nb\u0000\u001b[31mc"}})"), "HTTP 400: a b [31mc");
  EXPECT_EQ(error(R"({"error":"plain"})"), "HTTP 400: plain");
  EXPECT_EQ(error(R"({"object":"error","message":"flat"})"), "HTTP 400: flat");
  EXPECT_EQ(error(R"({"detail":"d"})"), R"(HTTP 400: {"detail":"d"})");
  EXPECT_EQ(error("<p>\xff</p>"), "HTTP 400: <p>?</p>");
  EXPECT_LE(error(std::string(9000, 'x')).size(), 303u);
}

TEST(ChatApi, AKeyThatIsMissingOrBrokenIsNamedNotShown) {
  TeacherConfig config = teacher_config("https://api.test/v1");
  auto error_with = [&](const std::string& key) -> std::string {
    try {
      chat_endpoint(config, [&](const std::string&) { return key; });
      return "";
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
  };
  EXPECT_NE(error_with("").find("OPENAI_API_KEY"), std::string::npos);
  config.api_key_env = "MY_KEY";
  EXPECT_NE(error_with("").find("MY_KEY"), std::string::npos);
  for (const char* key :
       {"sec ret",
        "secret\n",
        "secret\r\nX: y",
        "s\xc3\xa9"
        "cret"}) {
    EXPECT_NE(error_with(key).find("MY_KEY"), std::string::npos);
    EXPECT_EQ(error_with(key).find("cret"), std::string::npos);
  }
  EXPECT_EQ(error_with("secret"), "");
}

TEST(ChatApi, AServerOnThisMachineNeedsNoKey) {
  TeacherConfig config = teacher_config("http://127.0.0.1:8080/v1");
  auto no_keys = [](const std::string&) { return std::string(); };
  EXPECT_EQ(chat_endpoint(config, no_keys).key, "");
  config.api_key_env = "NAMED";
  EXPECT_THROW(chat_endpoint(config, no_keys), std::invalid_argument);
  config.model.reset();
  EXPECT_THROW(chat_endpoint(config, no_keys), std::invalid_argument);
  config.provider = "none";
  EXPECT_THROW(chat_endpoint(config, no_keys), std::invalid_argument);
}

}  // namespace
}  // namespace pupil::testing
