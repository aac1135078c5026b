#include "rollout/generator.h"

#include <gtest/gtest.h>

#include <set>

#include "models/attend.h"
#include "models/lora.h"
#include "ops/token_logprobs.h"
#include "support/tiny_model.h"

namespace pupil {
namespace {

constexpr int kEos = 1;

Model tiny_model(uint64_t seed = 0, std::vector<int> eos = {kEos}) {
  auto folder = std::string(PUPIL_SOURCE_DIR) + "/tests/support/tiny_tokenizer";
  return {testing::tiny_decoder(seed), Tokenizer(folder), std::move(eos), folder};
}

std::vector<Prompt> some_prompts() {
  return {{{5, 6, 7}, 10}, {{9}, 11}, {{20, 21, 22, 23, 24, 25, 26}, 12}};
}

SamplingConfig sampled(int max_tokens, float temperature = 1.0f) {
  SamplingConfig config;
  config.truncation.temperature = temperature;
  config.max_tokens = max_tokens;
  config.seed = 3;
  return config;
}

// Log-probabilities of a completion by the forward that training uses.
std::vector<float> trainer_logprobs(
    const Model& model, const Prompt& prompt, const Completion& c, float temperature) {
  int T = static_cast<int>(c.tokens.size()), P = static_cast<int>(prompt.tokens.size());
  auto hidden = completion_hidden(
      model.decoder,
      mx::array(prompt.tokens.data(), {P}, mx::int32),
      mx::array(c.tokens.data(), {1, T}, mx::int32),
      {T});
  auto logprobs = token_logprobs(
                      hidden,
                      mx::array(c.tokens.data(), {T}, mx::int32),
                      [&](const mx::array& x) { return model.decoder.head(x); },
                      temperature)
                      .logprobs;
  logprobs.eval();
  return {logprobs.data<float>(), logprobs.data<float>() + T};
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b, float most) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], most) << i;
}

TEST(Generator, SamplerEqualsTrainerAtAnyTemperature) {
  auto model = tiny_model();
  attach_lora(model.decoder, {}, 1);
  auto params = select_parameters(model.decoder, is_lora);
  for (auto& p : params) p = p + 0.02f;
  assign_parameters(model.decoder, params, is_lora);
  auto prompts = some_prompts();
  for (float temperature : {0.7f, 1.0f, 1.5f}) {
    auto all = generate(model, prompts, 4, sampled(40, temperature));
    for (size_t p = 0; p < prompts.size(); ++p) {
      for (const auto& c : all[p]) {
        auto expected = trainer_logprobs(model, prompts[p], c, temperature);
        expect_near(c.logprobs, expected, 1e-4f);
      }
    }
  }
}

TEST(Generator, ARowDoesNotDependOnItsBatch) {
  auto model = tiny_model(7);
  auto prompts = some_prompts();
  auto together = generate(model, prompts, 5, sampled(45));
  for (size_t p = 0; p < prompts.size(); ++p) {
    auto alone = generate(model, {&prompts[p], 1}, 5, sampled(45));
    auto narrow = sampled(45);
    narrow.max_rows = 1;
    auto single = generate(model, {&prompts[p], 1}, 1, narrow);
    EXPECT_EQ(single[0][0].tokens, together[p][0].tokens);
    for (int row = 0; row < 5; ++row) {
      EXPECT_EQ(alone[0][row].tokens, together[p][row].tokens);
      expect_near(alone[0][row].logprobs, together[p][row].logprobs, 1e-5f);
    }
  }
}

TEST(Generator, GreedyFollowsTheFullForward) {
  auto model = tiny_model(2, {});
  auto prompts = some_prompts();
  auto all = generate(model, prompts, 1, sampled(12, 0.0f));
  for (size_t p = 0; p < prompts.size(); ++p) {
    auto tokens = prompts[p].tokens;
    for (int next : all[p][0].tokens) {
      int T = static_cast<int>(tokens.size());
      auto hidden =
          sequence_hidden(model.decoder, mx::array(tokens.data(), {1, T}, mx::int32));
      auto logits = model.decoder.head(mx::reshape(hidden, {T, 32}));
      auto best = mx::argmax(mx::slice(logits, {T - 1, 0}, {T, 48}));
      EXPECT_EQ(next, static_cast<int>(best.item<uint32_t>()));
      tokens.push_back(next);
    }
    EXPECT_EQ(all[p][0].tokens.size(), 12u);
    EXPECT_EQ(all[p][0].finish, FinishReason::length);
  }
}

TEST(Generator, EveryEosIdEndsACompletionAndStaysInIt) {
  std::vector<int> eos = {1, 30, 31, 32, 33};
  auto model = tiny_model(5, eos);
  auto prompts = some_prompts();
  std::set<int> ended_by;
  for (const auto& group : generate(model, prompts, 8, sampled(60))) {
    for (const auto& c : group) {
      for (size_t i = 0; i + 1 < c.tokens.size(); ++i) {
        EXPECT_EQ(std::count(eos.begin(), eos.end(), c.tokens[i]), 0);
      }
      bool stopped = std::count(eos.begin(), eos.end(), c.tokens.back()) == 1;
      EXPECT_EQ(stopped, c.finish == FinishReason::stop);
      if (stopped) ended_by.insert(c.tokens.back());
      std::span<const int> shown(c.tokens);
      if (stopped) shown = shown.first(shown.size() - 1);
      EXPECT_EQ(c.text, model.tokenizer.decode(shown));
      EXPECT_EQ(c.tokens.size(), c.logprobs.size());
    }
  }
  EXPECT_GE(ended_by.size(), 2u);
}

TEST(Generator, StopStringsEndTheTextBeforeThem) {
  auto model = tiny_model(5, {});
  auto prompts = some_prompts();
  auto free = generate(model, prompts, 4, sampled(30));
  auto config = sampled(30);
  config.stop = {free[0][0].text.substr(4, 3)};
  auto stopped = generate(model, prompts, 4, config);
  const auto& c = stopped[0][0];
  EXPECT_EQ(c.finish, FinishReason::stop);
  EXPECT_EQ(c.text, free[0][0].text.substr(0, free[0][0].text.find(config.stop[0])));
  EXPECT_LT(c.tokens.size(), 30u);
  for (const auto& group : stopped) {
    for (const auto& other : group) {
      EXPECT_EQ(other.text.find(config.stop[0]), std::string::npos);
    }
  }
}

TEST(Generator, AStopStringBeforeTheLeastLengthStopsNothing) {
  auto model = tiny_model(4, {});
  auto prompts = some_prompts();
  auto config = sampled(16, 0.0f);
  auto whole = generate(model, prompts, 1, config);
  config.rules.min_tokens = 8;
  for (size_t p = 0; p < prompts.size(); ++p) {
    const auto& free = whole[p][0];
    std::span<const int> tokens = free.tokens;
    auto early = model.tokenizer.decode(tokens.first(7));
    config.stop = {model.tokenizer.decode(tokens.subspan(1, 2))};
    auto got = generate(model, std::span(&prompts[p], 1), 1, config)[0][0];
    EXPECT_GE(got.tokens.size(), 8u);
    EXPECT_TRUE(got.text.starts_with(early)) << got.text;
    EXPECT_TRUE(free.text.starts_with(got.text)) << got.text;
    EXPECT_EQ(got.text.find(config.stop[0], early.size()), got.text.npos);
  }
}

TEST(Generator, CompletionsAreToldAsTheyEnd) {
  auto model = tiny_model(4);
  auto prompts = some_prompts();
  auto config = sampled(40);
  config.max_rows = 6;  // the third prompt waits
  std::map<std::pair<int, int>, Completion> told;
  int tokens = 0, early = 0;
  auto on_token = [&](int, int, int, bool) { ++tokens; };
  auto on_completion = [&](int p, int row, const Completion& completion) {
    EXPECT_TRUE(told.emplace(std::pair(p, row), completion).second);
    if (completion.finish == FinishReason::stop) early = early == 0 ? tokens : early;
  };
  auto all = generate(model, prompts, 3, config, on_token, nullptr, on_completion);
  ASSERT_EQ(told.size(), 9u);
  for (const auto& [at, completion] : told) {
    const auto& returned = all[at.first][at.second];
    EXPECT_EQ(completion.tokens, returned.tokens);
    EXPECT_EQ(completion.text, returned.text);
    EXPECT_EQ(completion.finish, returned.finish);
  }
  EXPECT_GT(early, 0);
  EXPECT_LT(early, tokens);  // the others were still growing
}

TEST(Generator, OnTokenSeesEveryTokenInOrder) {
  auto model = tiny_model(4);
  auto prompts = some_prompts();
  std::map<std::pair<int, int>, std::vector<int>> seen;
  std::map<std::pair<int, int>, bool> ended;
  auto config = sampled(20);
  config.max_rows = 4;  // the third prompt waits
  auto all =
      generate(model, prompts, 2, config, [&](int p, int row, int token, bool last) {
        EXPECT_FALSE((ended[{p, row}]));
        seen[{p, row}].push_back(token);
        ended[{p, row}] = last;
      });
  for (int p = 0; p < 3; ++p) {
    for (int row = 0; row < 2; ++row) {
      EXPECT_EQ((seen[{p, row}]), all[p][row].tokens);
      EXPECT_TRUE((ended[{p, row}]));
    }
  }
}

void expect_same(
    const std::vector<std::vector<Completion>>& a,
    const std::vector<std::vector<Completion>>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t p = 0; p < a.size(); ++p) {
    ASSERT_EQ(a[p].size(), b[p].size());
    for (size_t row = 0; row < a[p].size(); ++row) {
      EXPECT_EQ(a[p][row].tokens, b[p][row].tokens);
      EXPECT_EQ(a[p][row].logprobs, b[p][row].logprobs);
      EXPECT_EQ(a[p][row].finish, b[p][row].finish);
    }
  }
}

std::vector<Prompt> many_prompts(int count, int least = 20) {
  std::vector<Prompt> prompts;
  for (int p = 0; p < count; ++p) {
    prompts.push_back({{}, static_cast<uint64_t>(p)});
    for (int i = 0; i < least + p % 30; ++i)
      prompts.back().tokens.push_back(2 + (p + 7 * i) % 46);
  }
  return prompts;
}

// To the bit, whether prompts wait for rows, for memory or not at all.
TEST(Generator, WhoHadToWaitGetsTheSameCompletions) {
  auto model = tiny_model(4);
  auto prompts = many_prompts(11);
  auto config = sampled(40);
  GenerateStats all_at_once;
  auto expected = generate(model, prompts, 3, config, {}, &all_at_once);
  EXPECT_EQ(all_at_once.max_rows, 33);
  for (int max_rows : {1, 3, 7, 20}) {
    config.max_rows = max_rows;
    GenerateStats stats;
    expect_same(generate(model, prompts, 3, config, {}, &stats), expected);
    EXPECT_LE(stats.max_rows, max_rows);
  }
  config.max_rows = 128;
  config.cache_bytes = all_at_once.cache_bytes / 2;
  GenerateStats stats;
  expect_same(generate(model, prompts, 3, config, {}, &stats), expected);
  EXPECT_LE(stats.cache_bytes, config.cache_bytes);
  EXPECT_LT(stats.max_rows, 33);
  EXPECT_GT(stats.max_rows, 3);
}

TEST(Generator, RowsStayBusyAndMemoryIsShared) {
  auto model = tiny_model(4);
  auto config = sampled(150);
  config.max_rows = 64;
  GenerateStats stats;
  auto all = generate(model, many_prompts(64, 60), 8, config, {}, &stats);
  long tokens = 0;
  for (const auto& group : all)
    for (const auto& completion : group) tokens += std::ssize(completion.tokens);
  EXPECT_EQ(stats.row_steps, tokens);
  EXPECT_EQ(stats.max_rows, 64);
  EXPECT_GT(stats.crowded_occupancy(), 0.98);
  EXPECT_GT(stats.crowded_steps, 100);
  EXPECT_GT(stats.occupancy(), 0.6);
  EXPECT_LT(static_cast<double>(stats.cache_bytes), 0.6 * stats.unshared_bytes);
}

// A place is free for no longer than a step, though a prompt's rows end one by one.
TEST(Generator, RowsOfAPromptJoinOneByOne) {
  auto model = tiny_model(4, {});
  auto config = sampled(60);
  config.max_rows = 12;
  config.row_limit = [](int prompt, int row) {
    return 5 + (prompt * 13 + row * 31) % 56;
  };
  GenerateStats stats;
  auto all = generate(model, many_prompts(30), 8, config, {}, &stats);
  for (int p = 0; p < 30; ++p)
    for (int row = 0; row < 8; ++row)
      EXPECT_EQ(std::ssize(all[p][row].tokens), config.row_limit(p, row));
  EXPECT_EQ(stats.max_rows, 12);
  EXPECT_GT(stats.crowded_occupancy(), 0.97);
  EXPECT_GT(stats.longest_gap_s, 0);
  EXPECT_LE(stats.longest_gap_s, stats.decode_s);
}

// The best token under the rules, from the whole forward and in double.
int best_under_rules(
    const Model& model, const LogitRules& rules, std::vector<int> prompt, int given) {
  int T = static_cast<int>(prompt.size());
  auto hidden = sequence_hidden(model.decoder, mx::array(prompt.data(), {1, T}));
  auto logits = model.decoder.head(mx::slice(hidden, {0, T - 1, 0}, {1, T, 32}));
  logits.eval();
  std::map<int, int> counts, seen;
  for (int i = 0; i < T; ++i) ++seen[prompt[i]], counts[prompt[i]] += i >= T - given;
  std::vector<double> x(logits.data<float>(), logits.data<float>() + logits.size());
  for (auto [token, n] : seen) {
    double& y = x[token];
    y = y > 0 ? y / rules.repetition_penalty : y * rules.repetition_penalty;
    y -= rules.frequency_penalty * counts[token];
    y -= counts[token] > 0 ? rules.presence_penalty : 0;
  }
  for (auto [token, bias] : rules.logit_bias) x[token] += bias;
  if (given < rules.min_tokens) x[kEos] = -1e30;
  return static_cast<int>(std::ranges::max_element(x) - x.begin());
}

TEST(Generator, FollowsPenaltiesBiasesAndTheLeastLength) {
  auto model = tiny_model(4);
  auto config = sampled(24, 0.0f);
  config.rules = {1.3f, 0.2f, 0.1f, {{kEos, 0.6f}, {30, 0.4f}, {31, -5.0f}}, 6};
  config.max_rows = 2;  // rows come and go
  std::set<size_t> lengths;
  for (const auto& prompt : some_prompts()) {
    auto tokens = generate(model, std::span(&prompt, 1), 1, config)[0][0].tokens;
    lengths.insert(tokens.size());
    auto so_far = prompt.tokens;
    for (size_t i = 0; i < tokens.size(); ++i) {
      int best = best_under_rules(model, config.rules, so_far, static_cast<int>(i));
      ASSERT_EQ(tokens[i], best) << "token " << i;
      so_far.push_back(tokens[i]);
    }
  }
  EXPECT_GE(*lengths.begin(), 6u);
}

// What is told is the model's own log-probability: what training computes, to the bit.
TEST(Generator, RulesLeaveLogProbabilitiesTheModels) {
  auto model = tiny_model(4);
  auto config = sampled(30, 0.7f);
  config.rules = {1.5f, 0.5f, 0.3f, {{9, 2.0f}}, 10};
  config.max_rows = 4;
  auto prompts = some_prompts();
  auto all = generate(model, prompts, 2, config);
  for (size_t p = 0; p < prompts.size(); ++p)
    for (const auto& c : all[p]) {
      EXPECT_GE(c.tokens.size(), 10u);
      EXPECT_EQ(c.logprobs, trainer_logprobs(model, prompts[p], c, 0.7f));
    }
}

TEST(Generator, RefusesABiasOfNoToken) {
  auto model = tiny_model();
  auto prompts = some_prompts();
  auto config = sampled(5);
  config.rules.logit_bias = {{48, 1.0f}};
  EXPECT_THROW(generate(model, prompts, 1, config), std::invalid_argument);
}

TEST(Generator, RefusesEmptyAndOverlongPrompts) {
  auto model = tiny_model();
  Prompt empty, longest{std::vector<int>(250, 5), 0};
  EXPECT_THROW(generate(model, {&empty, 1}, 1, sampled(4)), std::invalid_argument);
  EXPECT_THROW(generate(model, {&longest, 1}, 1, sampled(7)), std::invalid_argument);
  EXPECT_EQ(generate(model, {&longest, 1}, 1, sampled(6)).size(), 1u);
}

// It would end every completion at its first token.
TEST(Generator, RefusesAnEmptyStopString) {
  Prompt prompt{{5, 6}, 0};
  auto config = sampled(4);
  config.stop = {"a", ""};
  EXPECT_THROW(generate(tiny_model(), {&prompt, 1}, 1, config), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
