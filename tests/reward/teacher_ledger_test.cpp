// Money: the ledger is exact, survives its process, and the cap is never passed.

#include "reward/teacher_ledger.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <numeric>

#include "reward/teacher_client.h"
#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

constexpr TeacherPrices kPrices{2.0, 8.0};
constexpr double kCallUsd = (90 * 2.0 + 10 * 8.0) * 1e-6;  // of openai_reply

ClientOptions capped(double cap_usd, int concurrency = 4) {
  ClientOptions options;
  options.max_concurrency = concurrency;
  options.retry = *fast_options().retry;
  options.max_cost_usd = cap_usd;
  options.prices = kPrices;
  return options;
}

std::vector<ChatRequest> questions(int count, int first = 0) {
  std::vector<ChatRequest> out(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    out[static_cast<size_t>(i)].messages = {
        {"user", std::string(150, 'x') + std::to_string(first + i)}};
    out[static_cast<size_t>(i)].max_tokens = 20;
  }
  return out;
}

TeacherClient client_for(const ScriptedServer& server, const ClientOptions& options) {
  return {
      chat_endpoint(teacher_config(server.url()), fast_options().environment), options};
}

TEST(TeacherLedger, AddsUpAndStays) {
  TemporaryFolder folder;
  std::string path = folder / "teacher.sqlite";
  SpendingLedger(path).add({1, {100, 20}, 0.25});
  SpendingLedger ledger(path);
  ledger.add({2, {1, 2}, 0.5});
  Spending total = ledger.total();
  EXPECT_EQ(total.requests, 3);
  EXPECT_EQ(total.usage.input_tokens, 101);
  EXPECT_EQ(total.usage.output_tokens, 22);
  EXPECT_EQ(total.usd, 0.75);
}

TEST(TeacherLedger, ACacheIsNoLedger) {
  TemporaryFolder folder;
  std::string path = folder / "cache.sqlite";
  TeacherCache cache(path);
  EXPECT_THROW(SpendingLedger ledger(path), std::runtime_error);
}

TEST(CostCap, WaitsForWhatIsUnderWayAndStopsWhenNothingIs) {
  CostCap cap(1.0, {1e6, 0});  // a dollar a token
  cap.start_at(0.25);
  ChatUsage half{0, 0};
  EXPECT_EQ(cap.verdict({1, 0}), CostCap::Verdict::stop);
  EXPECT_EQ(cap.verdict(half), CostCap::Verdict::send);
  CostCap fine(3.0, {1e6, 0});
  fine.on_sent({2, 0});
  EXPECT_EQ(fine.verdict({2, 0}), CostCap::Verdict::wait);
  EXPECT_EQ(fine.on_settled({2, 0}, {1, 0}), 1.0);
  EXPECT_EQ(fine.verdict({2, 0}), CostCap::Verdict::send);
  EXPECT_EQ(CostCap(0, {1e9, 1e9}).verdict({1000, 1000}), CostCap::Verdict::send);
}

TEST(TokenBound, IsNeverBelowTheTruthAndTightens) {
  TokenBound bound;
  ChatRequest request = questions(1).front();
  EXPECT_GE(bound.worst(request).input_tokens, 151);
  EXPECT_EQ(bound.worst(request).output_tokens, 20);
  for (int i = 0; i < 20; ++i) bound.learn(request, 40);
  EXPECT_GE(bound.worst(request).input_tokens, 40);
  EXPECT_LT(bound.worst(request).input_tokens, 151);
}

TEST(TeacherLedger, TheCapIsNotPassedAndTheSumIsExactToTheToken) {
  TemporaryFolder folder;
  std::string path = folder / "teacher.sqlite";
  ScriptedServer server([](const SeenRequest& request) {
    if (request.index % 7 == 3) return error_reply(500, "server_error", "kaput");
    return openai_reply("fine");
  });
  double cap = 40 * kCallUsd;
  int64_t paid = 0;
  for (int run = 0; run < 3; ++run) {  // each goes on with the same ledger
    TeacherClient client = client_for(server, capped(cap));
    client.keep_ledger(path);
    auto replies = client.ask(questions(run == 0 ? 20 : 100, 100 * run));
    for (const auto& reply : replies) paid += reply.outcome == ChatOutcome::ok;
    if (run > 0) {
      EXPECT_EQ(replies.back().outcome, ChatOutcome::over_budget);
    }
    Spending total = SpendingLedger(path).total();
    EXPECT_EQ(total.requests, paid);
    EXPECT_EQ(total.usage.input_tokens, 90 * paid);
    EXPECT_EQ(total.usage.output_tokens, 10 * paid);
    EXPECT_LE(total.usd, cap);
    EXPECT_NEAR(client.stats().spent_usd, total.usd, 1e-12);
  }
  EXPECT_GE(paid, 36);  // most of it was of use
  EXPECT_LE(paid, 40);
}

TEST(TeacherLedger, AServerThatDoesNotCountIsPaidTheWorst) {
  ScriptedServer server([](const SeenRequest&) {
    ScriptedReply reply = openai_reply("fine");
    auto body = nlohmann::json::parse(reply.body);
    body.erase("usage");
    reply.body = body.dump();
    return reply;
  });
  TeacherClient client = client_for(server, capped(1.0));
  client.ask(questions(10));
  EXPECT_EQ(client.stats().input_tokens, 0);
  EXPECT_GE(client.stats().spent_usd, 10 * cost_usd(kPrices, {150, 20}));
}

/// A process that asks much once it is told whom. Forked before this process has other
/// threads, whose locks the copy would never see released.
class Asker {
 public:
  explicit Asker(const std::string& ledger) {
    if (pipe(to_child_) != 0) throw std::runtime_error("no pipe");
    child_ = fork();
    if (child_ != 0) return;
    char url[256] = {};
    if (read(to_child_[0], url, sizeof url - 1) <= 0) _exit(1);
    TeacherConfig config = teacher_config(url);
    TeacherClient client(
        chat_endpoint(config, fast_options().environment), capped(0, 4));
    client.keep_ledger(ledger);
    client.ask(questions(100000));
    _exit(0);
  }

  void begin(const std::string& url) const {
    ASSERT_EQ(write(to_child_[1], url.data(), url.size()), ssize_t(url.size()));
  }

  void kill_it() const {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }

 private:
  int to_child_[2] = {};
  pid_t child_ = 0;
};

// A process that is killed has counted every reply that it took.
TEST(TeacherLedger, AKilledRunHasCountedWhatItGot) {
  TemporaryFolder folder;
  std::string path = folder / "teacher.sqlite";
  std::vector<Asker> askers;
  for (int run = 0; run < 5; ++run) askers.emplace_back(path);
  ScriptedServer server([](const SeenRequest&) {
    ScriptedReply reply = openai_reply("fine");
    reply.delay_s = 0.002;
    return reply;
  });
  for (const Asker& asker : askers) {
    size_t before = server.count();
    asker.begin(server.url());
    while (server.count() < before + 30) usleep(1000);
    asker.kill_it();
  }
  usleep(50000);
  auto sent = static_cast<int64_t>(server.count());
  int64_t counted = SpendingLedger(path).total().requests;
  EXPECT_LE(counted, sent);
  EXPECT_GE(counted, sent - 5 * 2 * 4);  // in flight, and answered but not yet read
  EXPECT_EQ(SpendingLedger(path).total().usage.input_tokens, 90 * counted);
}

TEST(Teacher, ACapWithoutPricesIsRefusedAtTheStart) {
  auto config = teacher_config("http://127.0.0.1:1");
  config.max_cost_usd = 1;
  EXPECT_THROW(Teacher(config, fast_options()), std::invalid_argument);
  config.price_per_mtok_in = 1;
  EXPECT_THROW(Teacher(config, fast_options()), std::invalid_argument);
  config.price_per_mtok_out = 0;
  Teacher priced(config, fast_options());
  config.tokens_per_minute = config.max_tokens - 1;
  EXPECT_THROW(Teacher(config, fast_options()), std::invalid_argument);
}

TEST(Teacher, TheCapStopsTheRun) {
  ScriptedServer server([](const SeenRequest&) { return openai_reply(grades(7)); });
  auto config = teacher_config(server.url());
  config.max_cost_usd = 1e-9;
  config.price_per_mtok_in = 2;
  config.price_per_mtok_out = 8;
  Teacher teacher(config, fast_options());
  Answers answers({program(1)});
  EXPECT_THROW(teacher.judge(answers.samples()), TeacherOverBudget);
  EXPECT_EQ(server.count(), 0u);
}

}  // namespace
}  // namespace pupil::testing
