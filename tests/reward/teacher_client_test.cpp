// The client against a server that misbehaves: which trouble is retried, which is not.

#include "reward/teacher_client.h"

#include <gtest/gtest.h>

#include <chrono>

#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

using enum ChatOutcome;

ClientOptions client_options(int max_concurrency = 16) {
  return {.max_concurrency = max_concurrency, .retry = *fast_options().retry};
}

TeacherClient client_for(const ScriptedServer& server, double timeout_s = 10) {
  TeacherConfig config = teacher_config(server.url());
  config.timeout_s = timeout_s;
  return {chat_endpoint(config, fast_options().environment), client_options()};
}

std::vector<ChatRequest> questions(int count) {
  std::vector<ChatRequest> out(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    out[static_cast<size_t>(i)].messages = {{"user", "question " + std::to_string(i)}};
  }
  return out;
}

/// A server's whole script, and what has to come of one question.
struct Fault {
  const char* name;
  std::vector<ScriptedReply> script;  // the last one again and again
  ChatOutcome outcome;
  size_t requests;
};

template <class Change>
ScriptedReply good(const Change& change) {
  ScriptedReply reply = openai_reply("fine");
  change(reply);
  return reply;
}

ScriptedReply good() {
  return openai_reply("fine");
}

ScriptedReply status(int code, const char* header = nullptr, const char* value = "") {
  ScriptedReply reply;
  reply.status = code;
  if (header) reply.headers = {{header, value}};
  return reply;
}

void expect(const Fault& fault, double timeout_s = 10) {
  ScriptedServer server([&](const SeenRequest& request) {
    return fault.script[std::min(request.index, fault.script.size() - 1)];
  });
  TeacherClient client = client_for(server, timeout_s);
  ChatReply reply = client.ask(questions(1)).front();
  SCOPED_TRACE(std::string(fault.name) + ": " + reply.error);
  EXPECT_EQ(reply.outcome, fault.outcome);
  EXPECT_EQ(server.count(), fault.requests);
  EXPECT_EQ(reply.attempts, static_cast<int>(fault.requests));
  EXPECT_EQ(client.stats().calls, static_cast<int64_t>(fault.requests));
  bool fine = fault.outcome == ok;
  EXPECT_EQ(reply.text, fine ? "fine" : "");
  EXPECT_EQ(reply.error.empty(), fine);
}

TEST(TeacherClient, RetriesBadStatusesThatPass) {
  for (const Fault& fault : std::vector<Fault>{
           {"500, 502, then fine", {status(500), status(502), good()}, ok, 3},
           {"503", {error_reply(503, "server_error", "overloaded"), good()}, ok, 2},
           {"529", {error_reply(529, "overloaded_error", "Overloaded"), good()}, ok, 2},
           {"408", {status(408), good()}, ok, 2},
           {"409", {status(409), good()}, ok, 2},
           {"429", {error_reply(429, "rate_limit_error", "slow"), good()}, ok, 2},
           {"x-should-retry", {status(418, "x-should-retry", "true"), good()}, ok, 2},
       }) {
    expect(fault);
  }
}

TEST(TeacherClient, RetriesTransportTroubleThatPasses) {
  auto cut = [](auto change) { return std::vector{good(change), good()}; };
  for (const Fault& fault : std::vector<Fault>{
           {"reset first", cut([](auto& r) { r.reset = r.silent = true; }), ok, 2},
           {"closed first", cut([](auto& r) { r.silent = true; }), ok, 2},
           {"reset in body",
            cut([](auto& r) { r.reset = true, r.cut_at = 20; }),
            ok,
            2},
           {"closed in body", cut([](auto& r) { r.cut_at = 20; }), ok, 2},
           {"cut JSON", cut([](auto& r) { r.body.resize(40); }), ok, 2},
           {"length too long", cut([](auto& r) { r.content_length = 9999; }), ok, 2},
           // The surplus must not be taken for the next reply: a race to lose once
           // more.
           {"length too short",
            cut([](auto& r) {
              r.content_length = 30;
              r.headers.emplace_back("Connection", "close");
            }),
            ok,
            2},
           {"chunks do not end",
            cut([](auto& r) { r.chunked = r.no_last_chunk = true; }),
            ok,
            2},
           {"late headers", cut([](auto& r) { r.delay_s = 3; }), ok, 2},
           {"stalled body", cut([](auto& r) { r.stall_s = 3; }), ok, 2},
           {"empty 200", cut([](auto& r) { r.body = ""; }), ok, 2},
           {"HTML 200", cut([](auto& r) { r.body = "<html>hi</html>"; }), ok, 2},
           {"no UTF-8", cut([](auto& r) { r.body = "{\"a\":\"\xff\xfe\"}"; }), ok, 2},
       }) {
    expect(fault, 0.5);  // three of them end by the time-out
  }
}

TEST(TeacherClient, GivesUpAfterTheLastRetry) {
  ScriptedReply html = status(502);
  html.body = "<html><b>Bad\nGateway</b></html>";
  expect({"500 for ever", {status(500)}, unavailable, 4});
  expect({"HTML 502 for ever", {html}, unavailable, 4});
  expect({"429 for ever", {status(429)}, busy, 4});
  expect({"resets for ever", {good([](auto& r) { r.silent = true; })}, unavailable, 4});
}

TEST(TeacherClient, DoesNotRetryWhatCannotPass) {
  for (const Fault& fault : std::vector<Fault>{
           {"400", {error_reply(400, "invalid_request_error", "bad")}, rejected, 1},
           {"413", {error_reply(413, "request_too_large", "big")}, rejected, 1},
           {"422", {error_reply(422, "invalid", "no")}, rejected, 1},
           {"9 MiB", {good([](auto& r) { r.body.assign(9 << 20, ' '); })}, rejected, 1},
           {"an hour's wait", {status(429, "Retry-After", "3600")}, busy, 1},
           {"its own word", {status(500, "x-should-retry", "false")}, rejected, 1},
           {"401", {error_reply(401, "invalid_request_error", "key")}, unauthorized, 1},
           {"403", {status(403)}, unauthorized, 1},
           {"404", {error_reply(404, "not_found", "model")}, unauthorized, 1},
           {"quota", {error_reply(429, "insufficient_quota", "pay")}, out_of_quota, 1},
           {"402", {error_reply(402, "billing_error", "pay")}, out_of_quota, 1},
           {"filtered", {openai_reply("", "content_filter")}, refused, 1},
           {"no choices",
            {good([](auto& r) { r.body = "{\"choices\":[]}"; })},
            malformed,
            1},
           {"200 error",
            {good([](auto& r) { r.body = "{\"error\":{}}"; })},
            malformed,
            1},
       }) {
    expect(fault);
  }
}

TEST(TeacherClient, TakesChunkedUnsizedAndSlowBodies) {
  expect({"chunked", {good([](auto& r) { r.chunked = true; })}, ok, 1});
  expect({"unsized", {good([](auto& r) { r.no_length = true; })}, ok, 1});
  expect({"slow", {good([](auto& r) { r.delay_s = r.stall_s = 0.1; })}, ok, 1});
}

TEST(TeacherClient, WaitsAsLongAsTheServerAsks) {
  for (auto [name, value] :
       {std::pair("Retry-After", "0.3"), {"retry-after-ms", "300"}}) {
    ScriptedServer server([&](const SeenRequest& request) {
      return request.index == 0 ? status(429, name, value) : good();
    });
    TeacherClient client = client_for(server);
    EXPECT_EQ(client.ask(questions(1)).front().outcome, ok);
    auto seen = server.seen();
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_GE(seen[1].at_s - seen[0].at_s, 0.3) << name;
  }
}

TEST(TeacherClient, ANetworkWithoutAServerIsUnavailable) {
  std::string nobody = ScriptedServer([](const auto&) { return good(); }).url();
  TeacherConfig config = teacher_config(nobody);
  TeacherClient client(
      chat_endpoint(config, fast_options().environment), client_options());
  ChatReply reply = client.ask(questions(1)).front();
  EXPECT_EQ(reply.outcome, unavailable);
  EXPECT_EQ(reply.attempts, 4);
}

TEST(TeacherClient, AServerWithoutTlsIsNotSpokenToOverHttps) {
  ScriptedServer server([](const SeenRequest&) { return good(); });
  TeacherConfig config = teacher_config("https" + server.url().substr(4));
  config.timeout_s = 0.2;
  TeacherClient client(
      chat_endpoint(config, fast_options().environment), client_options());
  EXPECT_EQ(client.ask(questions(1)).front().outcome, unavailable);
  EXPECT_EQ(server.count(), 0u);
}

TEST(TeacherClient, NeverFollowsARedirect) {
  ScriptedServer other([](const SeenRequest&) { return good(); });
  ScriptedServer server([&](const SeenRequest&) {
    return status(307, "Location", (other.url() + "/x").c_str());
  });
  TeacherClient client = client_for(server);
  EXPECT_EQ(client.ask(questions(1)).front().outcome, unauthorized);
  EXPECT_EQ(other.count(), 0u);  // nor is the key sent there
}

TEST(TeacherClient, AFinalErrorEndsEverythingThatWasNotSent) {
  ScriptedServer server([](const SeenRequest&) {
    ScriptedReply reply = error_reply(401, "auth", "no");
    reply.delay_s = 0.05;
    return reply;
  });
  TeacherConfig config = teacher_config(server.url());
  TeacherClient client(
      chat_endpoint(config, fast_options().environment), client_options(2));
  for (const auto& reply : client.ask(questions(50))) {
    EXPECT_EQ(reply.outcome, unauthorized);
  }
  EXPECT_LE(server.count(), 2u);
  EXPECT_EQ(client.ask(questions(1)).front().outcome, unauthorized);
  EXPECT_LE(server.count(), 2u);
}

TEST(TeacherClient, AsksLessAtOnceWhenTheServerIsBusy) {
  ScriptedServer server([](const SeenRequest& request) {
    ScriptedReply reply = request.in_flight > 2 ? status(429) : good();
    reply.delay_s = 0.01;
    return reply;
  });
  TeacherConfig config = teacher_config(server.url());
  ClientOptions options = client_options(8);
  options.retry.max_retries = 40;
  TeacherClient client(chat_endpoint(config, fast_options().environment), options);
  for (const auto& reply : client.ask(questions(100))) {
    EXPECT_EQ(reply.outcome, ok) << reply.error;
  }
  EXPECT_LE(server.most_in_flight(), 8);
  EXPECT_LT(client.stats().retries, 100);  // at full tilt: several for each question
}

TEST(TeacherClient, RepliesStayInOrderAcrossThreads) {
  ScriptedServer server([](const SeenRequest& request) {
    auto body = nlohmann::json::parse(request.body);
    ScriptedReply reply = openai_reply(body["messages"][0]["content"]);
    reply.delay_s = 0.001 * static_cast<double>(request.index * 7919 % 20);
    return reply;
  });
  TeacherClient client = client_for(server, 10);
  auto ask = [&] {
    auto asked = questions(100);
    auto replies = client.ask(asked);
    for (size_t i = 0; i < asked.size(); ++i) {
      EXPECT_EQ(replies[i].text, asked[i].messages[0].content);
    }
  };
  std::thread other(ask);
  ask();
  other.join();
  EXPECT_EQ(server.count(), 200u);
  EXPECT_LE(server.most_in_flight(), 16);
}

TEST(TeacherClient, DestructionEndsWhatIsInFlight) {
  ScriptedServer server(
      [](const SeenRequest&) { return good([](auto& r) { r.delay_s = 30; }); });
  std::thread asking;
  ChatReply reply;
  {
    TeacherClient client = client_for(server, 60);
    asking = std::thread([&] { reply = client.ask(questions(1)).front(); });
    while (server.count() == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  asking.join();
  EXPECT_EQ(reply.outcome, cancelled);
}

}  // namespace
}  // namespace pupil::testing
