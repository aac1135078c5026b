#include "rollout/generator.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "models/attend.h"
#include "rollout/tiny_sampler.h"

namespace pupil {
namespace {

using testing::kEos;
using testing::sampled;
using testing::some_prompts;
using testing::tiny_model;

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
