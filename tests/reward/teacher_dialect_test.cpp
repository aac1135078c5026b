// Servers that do not take every parameter: what is given up, once, and what is not.

#include <gtest/gtest.h>

#include "reward/teacher_client.h"
#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

/// A server that complains about parameters it does not know, as OpenAI does.
ScriptedReply strict_server(
    const SeenRequest& request, const std::vector<std::string>& unknown) {
  json body = json::parse(request.body);
  for (const auto& name : unknown) {
    if (!body.contains(name)) continue;
    ScriptedReply reply = error_reply(
        400, "invalid_request_error", "Unsupported parameter: '" + name + "'");
    reply.delay_s = 0.01;
    return reply;
  }
  return openai_reply("fine");
}

std::vector<ChatRequest> questions(int count) {
  ChatRequest request;
  request.messages = {{"user", "hi"}};
  request.json_schema = R"({"type":"object"})";
  return std::vector<ChatRequest>(static_cast<size_t>(count), request);
}

TEST(TeacherDialect, GivesUpParametersOnceAndRemembers) {
  ScriptedServer server([](const SeenRequest& request) {
    return strict_server(request, {"max_tokens", "temperature", "response_format"});
  });
  TeacherConfig config = teacher_config(server.url());
  ClientOptions options;
  options.max_concurrency = 4;
  TeacherClient client(chat_endpoint(config, fast_options().environment), options);
  for (const auto& reply : client.ask(questions(20))) {
    EXPECT_EQ(reply.outcome, ChatOutcome::ok) << reply.error;
  }
  EXPECT_LE(server.count(), 20u + 3 * 4);  // what was in flight learns it by itself
  json last = json::parse(server.seen().back().body);
  EXPECT_TRUE(last.contains("max_completion_tokens"));
  EXPECT_FALSE(last.contains("temperature"));
  size_t before = server.count();
  client.ask(questions(5));
  EXPECT_EQ(server.count(), before + 5);
}

TEST(TeacherDialect, WithoutASchemaThereIsAToolAndThenWords) {
  ScriptedServer server([](const SeenRequest& request) {
    json body = json::parse(request.body);
    for (const char* name : {"output_config", "tools"}) {
      if (!body.contains(name)) continue;
      return error_reply(
          400, "invalid_request_error", std::string(name) + ": not supported");
    }
    return anthropic_reply("fine");
  });
  TeacherConfig config = teacher_config(server.url());
  config.provider = "anthropic";
  TeacherClient client(chat_endpoint(config, fast_options().environment), {});
  EXPECT_EQ(client.ask(questions(1)).front().outcome, ChatOutcome::ok);
  EXPECT_EQ(server.count(), 3u);
  EXPECT_EQ(client.ask(questions(1)).front().outcome, ChatOutcome::ok);
  EXPECT_EQ(server.count(), 4u);
}

TEST(TeacherDialect, ACompatibleServerIsFirstAskedInTheOldWords) {
  ScriptedServer server([](const SeenRequest& request) {
    return strict_server(request, {"max_completion_tokens"});
  });
  TeacherConfig config = teacher_config(server.url());
  TeacherClient client(chat_endpoint(config, fast_options().environment), {});
  EXPECT_EQ(client.ask(questions(1)).front().outcome, ChatOutcome::ok);
  EXPECT_EQ(server.count(), 1u);
}

TEST(TeacherDialect, NoNameForTheLimitIsAnErrorNotALoop) {
  ScriptedServer server([](const SeenRequest& request) {
    return strict_server(request, {"max_completion_tokens", "max_tokens"});
  });
  TeacherConfig config = teacher_config(server.url());
  TeacherClient client(chat_endpoint(config, fast_options().environment), {});
  EXPECT_EQ(client.ask(questions(1)).front().outcome, ChatOutcome::rejected);
  EXPECT_EQ(server.count(), 2u);
}

TEST(TeacherDialect, OtherComplaintsChangeNothing) {
  ChatEndpoint endpoint =
      chat_endpoint(teacher_config("http://127.0.0.1:1"), fast_options().environment);
  auto after = [&](int status, const std::string& message) {
    HttpReply reply;
    reply.status = status;
    reply.body = error_reply(status, "invalid_request_error", message).body;
    return adapted(endpoint, first_dialect(endpoint), reply).has_value();
  };
  EXPECT_TRUE(after(400, "Unsupported parameter: 'max_tokens'"));
  EXPECT_TRUE(after(422, "extra field response_format"));
  EXPECT_FALSE(after(400, "max_tokens is too large: the context length is 512"));
  EXPECT_FALSE(after(400, "temperature must be between 0 and 2"));
  EXPECT_FALSE(after(400, "bad request"));
  EXPECT_FALSE(after(500, "Unsupported parameter: 'max_tokens'"));
}

}  // namespace
}  // namespace pupil::testing
