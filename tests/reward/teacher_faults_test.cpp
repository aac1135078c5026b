// One question to a server that does one thing wrong: what comes of it, and after how
// many requests. Every row is a test of its own.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "reward/teacher_client.h"
#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

using enum ChatOutcome;

struct Fault {
  const char* name;
  std::vector<ScriptedReply> script;  // the last one again and again
  ChatOutcome outcome;
  size_t requests;
};

void PrintTo(const Fault& fault, std::ostream* out) {
  *out << fault.name;
}

ScriptedReply good() {
  return openai_reply("fine");
}

template <class Change>
ScriptedReply with(const Change& change) {
  ScriptedReply reply = good();
  change(reply);
  return reply;
}

// The trouble, and then a good reply.
template <class Change>
std::vector<ScriptedReply> once(const Change& change) {
  return {with(change), good()};
}

ScriptedReply status(int code, const char* header = nullptr, std::string value = "") {
  ScriptedReply reply;
  reply.status = code;
  if (header) reply.headers = {{header, std::move(value)}};
  return reply;
}

ScriptedReply raw(int code, const std::string& body) {
  ScriptedReply reply = status(code);
  reply.body = body;
  return reply;
}

uint32_t crc32(const std::string& data) {
  uint32_t crc = ~0u;
  for (unsigned char c : data) {
    crc ^= c;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

std::string little_endian(uint32_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
  return out;
}

// RFC 1952 with one stored block.
std::string gzip(const std::string& data) {
  auto size = static_cast<uint32_t>(data.size());
  std::string head("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01", 11);
  return head + little_endian(size, 2) + little_endian(~size, 2) + data +
         little_endian(crc32(data), 4) + little_endian(size, 4);
}

ScriptedReply zipped(bool whole) {
  ScriptedReply reply = good();
  reply.headers.emplace_back("Content-Encoding", "gzip");
  if (whole) reply.body = gzip(reply.body);
  return reply;
}

ScriptedReply choice(const std::string& message, const std::string& finish = "stop") {
  return raw(
      200,
      R"({"choices":[{"message":)" + message + R"(,"finish_reason":")" + finish +
          "\"}]}");
}

std::vector<Fault> passing_statuses() {
  auto error = [](int code, const char* type) { return error_reply(code, type, "x"); };
  return {
      {"s500", {status(500), good()}, ok, 2},
      {"s500s502", {status(500), status(502), good()}, ok, 3},
      {"s503", {error(503, "server_is_overloaded"), good()}, ok, 2},
      {"s504", {error(504, "timeout_error"), good()}, ok, 2},
      {"s529", {error(529, "overloaded_error"), good()}, ok, 2},
      {"s408", {status(408), good()}, ok, 2},
      {"s409", {status(409), good()}, ok, 2},
      {"s429", {error(429, "rate_limit_error"), good()}, ok, 2},
      {"s429flat",
       {raw(429,
            R"({"object":"error","message":"x","type":"rate_limited","code":"1300"})"),
        good()},
       ok,
       2},
      {"s429number", {raw(429, R"({"error":{"code":429}})"), good()}, ok, 2},
      {"s500text", {raw(500, R"({"error":"text"})"), good()}, ok, 2},
      {"s502html", {raw(502, "<html><b>Bad\nGateway</b>"), good()}, ok, 2},
      {"s418again", {status(418, "x-should-retry", "true"), good()}, ok, 2},
      {"s204", {status(204), good()}, ok, 2},
      {"s500ever", {status(500)}, unavailable, 4},
      {"s429ever", {status(429)}, busy, 4},
  };
}

// A short body, and beyond its end a whole reply to a question not yet asked.
ScriptedReply with_planted_reply() {
  ScriptedReply reply = raw(200, "{\"cut");
  const std::string planted = openai_reply("planted").body;
  reply.content_length = static_cast<int64_t>(reply.body.size());
  reply.body +=
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(planted.size()) + "\r\n\r\n" + planted;
  return reply;
}

std::vector<Fault> transport() {
  return {
      {"resetFirst", once([](auto& r) { r.reset = r.silent = true; }), ok, 2},
      {"closedFirst", once([](auto& r) { r.silent = true; }), ok, 2},
      {"resetInBody", once([](auto& r) { r.reset = true, r.cut_at = 20; }), ok, 2},
      {"closedInBody", once([](auto& r) { r.cut_at = 20; }), ok, 2},
      {"halfClosed", once([](auto& r) { r.half_close = true; }), ok, 2},
      {"lengthTooLong", once([](auto& r) { r.content_length = 9999; }), ok, 2},
      {"lengthTooShort", once([](auto& r) { r.content_length = 30; }), ok, 2},
      {"plantedReply", {with_planted_reply(), good()}, ok, 2},
      {"chunksWithoutEnd",
       once([](auto& r) { r.chunked = r.no_last_chunk = true; }),
       ok,
       2},
      {"lateHead", once([](auto& r) { r.delay_s = 3; }), ok, 2},
      {"stalledBody", once([](auto& r) { r.stall_s = 3; }), ok, 2},
      {"slowLoris", once([](auto& r) { r.drip_s = 0.2; }), ok, 2},
      {"chunked", {with([](auto& r) { r.chunked = true; })}, ok, 1},
      {"unsized", {with([](auto& r) { r.no_length = true; })}, ok, 1},
      {"slowButWhole", {with([](auto& r) { r.delay_s = r.stall_s = 0.1; })}, ok, 1},
      {"gzip", {zipped(true)}, ok, 1},
      {"gzipInName", {zipped(false), good()}, ok, 2},
      {"closedEver", {with([](auto& r) { r.silent = true; })}, unavailable, 4},
  };
}

std::vector<Fault> bodies() {
  auto body = [](std::string text) { return raw(200, text); };
  return {
      {"emptyBody", {body(""), good()}, ok, 2},
      {"htmlBody", {body("<html>hi</html>"), good()}, ok, 2},
      {"cutJson", {body(good().body.substr(0, 40)), good()}, ok, 2},
      {"noUtf8", {body("{\"a\":\"\xff\xfe\"}"), good()}, ok, 2},
      {"deepJson", {body(std::string(1 << 20, '[')), good()}, ok, 2},
      {"noChoices", {body(R"({"choices":[]})")}, malformed, 1},
      {"choicesOfNumbers", {body(R"({"choices":[1]})")}, malformed, 1},
      {"errorAnd200", {body(R"({"error":{"message":"x"}})")}, malformed, 1},
      {"jsonNumber", {body("7")}, malformed, 1},
      {"nullContent", {choice(R"({"content":null})")}, malformed, 1},
      {"toolCall", {choice(R"({"content":"x"})", "tool_calls")}, malformed, 1},
      {"refusal", {choice(R"({"content":null,"refusal":"no"})")}, refused, 1},
      {"filtered", {openai_reply("", "content_filter")}, refused, 1},
      {"cutOff", {openai_reply("fin", "length")}, length, 1},
  };
}

std::vector<Fault> lasting() {
  auto error = [](int code, const char* type) { return error_reply(code, type, "x"); };
  return {
      {"s400", {error(400, "invalid_request_error")}, rejected, 1},
      {"s413", {error(413, "request_too_large")}, rejected, 1},
      {"s422", {error(422, "invalid")}, rejected, 1},
      {"s500never", {status(500, "x-should-retry", "false")}, rejected, 1},
      {"hugeBody", {with([](auto& r) { r.padding = 100 << 20; })}, rejected, 1},
      {"hugeHead", {status(200, "X-Big", std::string(80 << 10, 'x'))}, rejected, 1},
      {"hoursOfWaiting", {status(429, "Retry-After", "3600")}, busy, 1},
      {"s401", {error(401, "invalid_request_error")}, unauthorized, 1},
      {"s403", {status(403)}, unauthorized, 1},
      {"s404", {error(404, "not_found_error")}, unauthorized, 1},
      {"s302", {status(302, "Location", "http://127.0.0.1:1/")}, unauthorized, 1},
      {"s402", {error(402, "billing_error")}, out_of_quota, 1},
      {"quota", {error(429, "insufficient_quota")}, out_of_quota, 1},
      {"quotaInCode",
       {error_reply(429, "requests", "pay", "insufficient_quota")},
       out_of_quota,
       1},
      {"spendLimit",
       {raw(
           429,
           R"({"error":{"type":"rate_limit_error",)"
           R"("details":{"error_code":"enforced_spend_limit_reached"}}})")},
       out_of_quota,
       1},
      {"creditTooLow",
       {error_reply(400, "invalid_request_error", "credit balance is too low")},
       out_of_quota,
       1},
  };
}

std::vector<Fault> all_faults() {
  std::vector<Fault> all;
  for (const auto& part : {passing_statuses(), transport(), bodies(), lasting()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

class TeacherFaults : public ::testing::TestWithParam<Fault> {};

TEST_P(TeacherFaults, EndAsTheTableSays) {
  const Fault& fault = GetParam();
  ScriptedServer server([&](const SeenRequest& request) {
    return fault.script[std::min(request.index, fault.script.size() - 1)];
  });
  TeacherConfig config = teacher_config(server.url());
  config.timeout_s = 0.6;
  ClientOptions options;
  options.retry = *fast_options().retry;
  TeacherClient client(chat_endpoint(config, fast_options().environment), options);
  ChatRequest question;
  question.messages = {{"user", "hi"}};
  ChatReply reply = client.ask(std::span(&question, 1)).front();
  SCOPED_TRACE(reply.error);
  EXPECT_EQ(reply.outcome, fault.outcome);
  EXPECT_EQ(server.count(), fault.requests);
  EXPECT_EQ(client.stats().calls, static_cast<int64_t>(fault.requests));
  EXPECT_EQ(reply.error.empty(), fault.outcome == ok);
  if (fault.outcome == ok) {
    EXPECT_EQ(reply.text, "fine");
  }
  EXPECT_EQ(reply.error.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    All, TeacherFaults, ::testing::ValuesIn(all_faults()), [](const auto& info) {
      return std::string(info.param.name);
    });

TEST(TeacherFaultTable, IsLongEnough) {
  EXPECT_GE(all_faults().size(), 60u);
}

// Twenty ways to be slow at once: none outlives its deadline by a second.
TEST(TeacherDeadline, NoRequestOutlivesIt) {
  std::vector<ScriptedReply> script;
  for (int i = 0; i < 20; ++i) {
    script.push_back(with([&](auto& r) {
      if (i % 4 == 0) r.delay_s = 5;
      if (i % 4 == 1) r.stall_s = 5;
      if (i % 4 == 2) r.drip_s = 0.1 + 0.02 * i;
      if (i % 4 == 3) r.stall_s = 5, r.padding = 100;
      r.chunked = i >= 8 && i % 4 != 3;
      if (i >= 16 && i % 4 != 3) r.no_last_chunk = true;
      if (i % 2 == 1) r.cut_at = static_cast<size_t>(8 * i);
    }));
  }
  ScriptedServer server(
      [&](const SeenRequest& request) { return script.at(request.index); });
  TeacherConfig config = teacher_config(server.url());
  config.timeout_s = 0.5;
  ClientOptions options;
  options.max_concurrency = 20;
  options.retry.max_retries = 0;
  TeacherClient client(chat_endpoint(config, fast_options().environment), options);
  std::vector<ChatRequest> questions(20);
  for (auto& question : questions) question.messages = {{"user", "hi"}};
  using Clock = std::chrono::steady_clock;
  auto began = Clock::now();
  double longest_s = 0;
  auto replies = client.ask(questions, [&](size_t, const ChatReply&) {
    std::chrono::duration<double> took = Clock::now() - began;
    longest_s = std::max(longest_s, took.count());
  });
  for (const auto& reply : replies) EXPECT_EQ(reply.outcome, unavailable);
  EXPECT_LT(longest_s, 0.5 + 1.0);
  RecordProperty("longest_ms", static_cast<int>(1e3 * longest_s));
}

// A thousand batches with random delays, from four threads: answer i is question i's.
TEST(TeacherOrder, IsKept) {
  ScriptedServer server([](const SeenRequest& request) {
    auto body = nlohmann::json::parse(request.body);
    ScriptedReply reply = openai_reply(body["messages"][0]["content"]);
    reply.delay_s = 1e-4 * static_cast<double>(request.index * 7919 % 20);
    return reply;
  });
  ClientOptions options;
  options.max_concurrency = 32;
  TeacherClient client(
      chat_endpoint(teacher_config(server.url()), fast_options().environment), options);
  std::atomic<int> wrong = 0;
  auto ask = [&](int who) {
    for (int batch = 0; batch < 250; ++batch) {
      std::vector<ChatRequest> questions(6);
      for (size_t i = 0; i < questions.size(); ++i) {
        auto name = std::to_string(who) + "/" + std::to_string(batch * 6 + int(i));
        questions[i].messages = {{"user", name}};
      }
      auto replies = client.ask(questions);
      for (size_t i = 0; i < questions.size(); ++i) {
        wrong += replies[i].text != questions[i].messages[0].content;
      }
    }
  };
  std::vector<std::thread> threads;
  for (int who = 0; who < 4; ++who) threads.emplace_back(ask, who);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(server.count(), 6000u);
}

// A connection that the server drops without a word is no lost question.
TEST(TeacherTraffic, ADroppedConnectionIsOpenedAgain) {
  ScriptedServer server(
      [](const SeenRequest&) { return with([](auto& r) { r.drop_after = true; }); });
  ClientOptions options;
  options.max_concurrency = 1;
  options.retry = *fast_options().retry;
  TeacherClient client(
      chat_endpoint(teacher_config(server.url()), fast_options().environment), options);
  std::vector<ChatRequest> questions(10);
  for (auto& question : questions) question.messages = {{"user", "hi"}};
  for (const auto& reply : client.ask(questions)) EXPECT_EQ(reply.outcome, ok);
}

// The rate that the user allows, measured where the requests arrive.
TEST(TeacherTraffic, TheServerSeesNoMoreThanTheUserAllows) {
  ScriptedServer server([](const SeenRequest&) { return good(); });
  ClientOptions options;
  options.rate = {.requests = 20, .window_s = 1.0, .slack_s = 0.25};
  TeacherClient client(
      chat_endpoint(teacher_config(server.url()), fast_options().environment), options);
  std::vector<ChatRequest> questions(60);
  for (auto& question : questions) question.messages = {{"user", "hi"}};
  client.ask(questions);
  auto seen = server.seen();
  ASSERT_EQ(seen.size(), 60u);
  for (size_t i = 20; i < seen.size(); ++i) {
    EXPECT_GT(seen[i].at_s - seen[i - 20].at_s, 1.0) << i;
  }
  EXPECT_LT(seen.back().at_s - seen.front().at_s, 4.0);
}

// Told that nothing is left for a second, the client sends nothing for a second.
TEST(TeacherTraffic, TheServersOwnLimitIsKept) {
  ScriptedServer server([](const SeenRequest& request) {
    ScriptedReply reply = good();
    if (request.index == 0) {
      reply.headers = {
          {"x-ratelimit-remaining-requests", "0"},
          {"x-ratelimit-reset-requests", "700ms"}};
    }
    return reply;
  });
  ClientOptions options;
  options.max_concurrency = 1;
  TeacherClient client(
      chat_endpoint(teacher_config(server.url()), fast_options().environment), options);
  std::vector<ChatRequest> questions(3);
  for (auto& question : questions) question.messages = {{"user", "hi"}};
  client.ask(questions);
  auto seen = server.seen();
  EXPECT_GE(seen[1].at_s - seen[0].at_s, 0.69);
  EXPECT_LT(seen[2].at_s - seen[1].at_s, 0.5);
}

}  // namespace
}  // namespace pupil::testing
