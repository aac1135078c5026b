#include "ops/cpu/kept_tokens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "ops/cpu/choose_token.h"
#include "ops/support.h"

namespace pupil {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

using ops_test::with_each_isa;

using Floats = std::vector<float>;

cpu::ScoreRow row_of(const Floats& logits, const Truncation& t) {
  return {logits.data(), static_cast<int>(logits.size()), 1.0f / t.temperature};
}

cpu::RowSums sums_of(const cpu::ScoreRow& row) {
  return cpu::kernels().row_sums(row);
}

Floats scores_of(const cpu::ScoreRow& row) {
  Floats scores;
  for (int i = 0; i < row.size; ++i)
    scores.push_back(row.logits[i] * row.inverse_temperature);
  return scores;
}

Floats exps_of(const Floats& scores, float max) {
  Floats exps(scores.size());
  auto size = static_cast<int64_t>(scores.size());
  cpu::kernels().exp_terms(scores.data(), max, exps.data(), size);
  return exps;
}

// The k-th largest score, by a sort.
float ranked_limit(Floats scores, int k) {
  std::sort(scores.begin(), scores.end(), std::greater<>());
  return scores[std::min<size_t>(k, scores.size()) - 1];
}

// The score at which the sum over the sorted scores reaches p of the total.
float mass_limit(Floats scores, float p, float max) {
  std::sort(scores.begin(), scores.end(), std::greater<>());
  auto exps = exps_of(scores, max);
  double total = 0, mass = 0;
  for (float e : exps) total += e;
  for (size_t i = 0; i < scores.size(); ++i) {
    mass += exps[i];
    if (mass >= p * total) return scores[i];
  }
  return scores.back();
}

Floats not_below(Floats scores, float limit) {
  std::erase_if(scores, [=](float x) { return x < limit || x == -kInf; });
  return scores;
}

// What top-k, top-p and min-p keep, by sorting, step for step.
std::vector<int> kept_by_sorting(const cpu::ScoreRow& row, const Truncation& t) {
  float max = sums_of(row).max;
  auto all = scores_of(row);
  auto scores = not_below(all, -kInf);
  if (t.top_k > 0) scores = not_below(scores, ranked_limit(scores, t.top_k));
  if (t.top_p < 1.0f) scores = not_below(scores, mass_limit(scores, t.top_p, max));
  if (t.min_p > 0.0f) scores = not_below(scores, max + std::log(t.min_p));
  float least = *std::min_element(scores.begin(), scores.end());
  std::vector<int> ids;
  for (int i = 0; i < row.size; ++i)
    if (all[i] >= least && all[i] > -kInf) ids.push_back(i);
  return ids;
}

int drawn_by_sorting(const cpu::ScoreRow& row, const Truncation& t, float u) {
  auto ids = kept_by_sorting(row, t);
  auto exps = exps_of(scores_of(row), sums_of(row).max);
  double total = 0, before = 0;
  for (int i : ids) total += exps[i];
  for (int i : ids) {
    before += exps[i];
    if (before > u * total) return i;
  }
  return ids.back();
}

struct Case {
  std::string name;
  Floats logits;
};

// Rows of every shape that a selection may stumble over.
std::vector<Case> rows_of(int size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  Floats plain(size);
  for (float& x : plain) x = normal(random);
  auto changed = [&](auto&& change) {
    auto row = plain;
    for (float& x : row) x = change(x);
    return row;
  };
  auto peaked = plain;
  peaked[size / 2] = 30.0f;
  auto outlier = plain;
  outlier[size / 2] = -1e38f;
  auto sorted = plain;
  std::sort(sorted.begin(), sorted.end());
  return {
      {"normal", plain},
      {"ties", changed([](float x) { return std::round(x); })},
      {"equal", changed([](float) { return 2.5f; })},
      {"holes", changed([](float x) { return x < 1.0f && x > -4.0f ? -kInf : x; })},
      {"wide", changed([](float x) { return std::sinh(x); })},
      {"narrow", changed([](float x) { return 1000.0f + 1e-4f * x; })},
      {"peaked", peaked},
      {"outlier", outlier},
      {"ascending", sorted},
      {"descending", Floats(sorted.rbegin(), sorted.rend())}};
}

std::vector<Truncation> truncations_of(int size) {
  std::vector<Truncation> all;
  for (int k : {1, 2, 50, size / 3, size - 1, size, size + 5}) all.push_back({1.0f, k});
  for (float p : {1e-6f, 0.3f, 0.5f, 0.95f, 0.99999994f}) all.push_back({0.8f, 0, p});
  for (float p : {1e-6f, 0.05f, 1.0f}) all.push_back({1.5f, 0, 1.0f, p});
  all.push_back({1.0f, 50, 0.95f, 0.05f});
  all.push_back({0.7f, size / 2, 0.5f});
  all.push_back({1.0f, 0, 0.9f, 0.01f});
  all.push_back({1.0f, 0, 0.5f, 1e-5f});
  return all;
}

// The same object for all rows: nothing of a row may reach the next.
void expect_same(
    cpu::KeptTokens& kept, const Case& c, const Truncation& t, const Floats& uniforms) {
  std::ostringstream trace;
  trace << c.name << " of " << c.logits.size() << ", T " << t.temperature << ", k "
        << t.top_k << ", p " << t.top_p << ", min_p " << t.min_p;
  SCOPED_TRACE(trace.str());
  auto row = row_of(c.logits, t);
  auto sums = sums_of(row);
  if (!std::isfinite(sums.max)) return;
  kept.keep(row, t, sums);
  std::vector<int> ids(kept.ids(), kept.ids() + kept.count());
  ASSERT_EQ(ids, kept_by_sorting(row, t));
  bool ranked = t.top_k > 0 && t.top_k < row.size;
  // Drawn from all, the sums are others.
  if (!ranked && t.top_p == 1.0f && t.min_p == 0.0f) return;
  for (float u : uniforms) {
    int token = cpu::choose_token(c.logits.data(), row.size, u, t).token;
    ASSERT_EQ(token, drawn_by_sorting(row, t, u)) << "u " << u;
  }
}

TEST(KeptTokens, AreThoseThatASortFinds) {
  with_each_isa([] {
    cpu::KeptTokens kept;
    for (int size : {2, 3, 15, 16, 17, 33, 63, 65, 257, 1021, 5003}) {
      for (const auto& c : rows_of(size, 7 + size))
        for (const auto& t : truncations_of(size))
          expect_same(kept, c, t, {0.0f, 0.37f, 0.99999994f});
    }
  });
}

TEST(KeptTokens, AreThoseThatASortFindsInALargeVocabulary) {
  cpu::KeptTokens kept;
  for (const auto& c : rows_of(49152, 3))
    for (const auto& t : truncations_of(49152)) expect_same(kept, c, t, {0.5f});
}

TEST(KeptTokens, OfOneToken) {
  for (const auto& t : {Truncation{1.0f, 1}, {1.0f, 0, 0.5f}, {1.0f, 0, 1.0f, 0.1f}}) {
    float logit = -3.0f;
    auto choice = cpu::choose_token(&logit, 1, 0.5f, t);
    EXPECT_EQ(choice.token, 0);
    EXPECT_EQ(choice.logprob, 0.0f);
  }
}

TEST(KeptTokens, RowsWithoutADistributionGiveTokenZeroAndANaN) {
  for (const auto& t : truncations_of(40)) {
    for (float bad : {NAN, kInf}) {
      Floats logits(40, 1.0f);
      logits[17] = bad;
      auto choice = cpu::choose_token(logits.data(), 40, 0.5f, t);
      EXPECT_EQ(choice.token, 0);
      EXPECT_TRUE(std::isnan(choice.logprob));
    }
    Floats impossible(40, -kInf);
    auto choice = cpu::choose_token(impossible.data(), 40, 0.5f, t);
    EXPECT_EQ(choice.token, 0);
    EXPECT_TRUE(std::isnan(choice.logprob));
  }
}

TEST(ExpTerms, AreThoseOfTheLibrary) {
  Floats scores;
  for (int i = 0; i < 4321; ++i) scores.push_back(-0.02f * static_cast<float>(i));
  with_each_isa([&] {
    auto exps = exps_of(scores, 0.0f);
    for (size_t i = 0; i < scores.size(); ++i) {
      double exact = std::exp(static_cast<double>(scores[i]));
      ASSERT_NEAR(exps[i], exact, 2.5e-7 * exact) << scores[i];
    }
    EXPECT_EQ(exps_of({-88.0f, -kInf, 0.0f}, 0.0f), (Floats{0.0f, 0.0f, 1.0f}));
  });
}

// Against the definition in plain MLX ops, whose float32 sums may put a token of the
// edge on the other side.
TEST(KeptTokens, DrawWhatTheDefinitionDraws) {
  int R = 512, V = 2039;
  auto uniforms = mx::random::uniform(0.0f, 1.0f, {R}, mx::float32, mx::random::key(5));
  for (float spread : {0.3f, 2.0f, 6.0f}) {
    auto logits = spread * ops_test::normal({R, V}, 11);
    for (const auto& t : truncations_of(V)) {
      // Near 0 and 1 the definition's own rounding decides what is kept.
      if (t.top_p < 1.0f && std::abs(t.top_p - 0.5f) > 0.4999f) continue;
      auto fast = sample_tokens(logits, uniforms, t);
      auto plain = sample_tokens_fallback(logits, uniforms, t);
      int same = mx::sum(mx::equal(fast.tokens, plain.tokens)).item<int>();
      EXPECT_GE(same, R - 5) << spread << ' ' << t.top_k << ' ' << t.top_p;
    }
  }
}

TEST(Greedy, TakesTheFirstOfTheBestWhateverIsNotANumber) {
  Floats logits = {1.0f, 4.0f, NAN, 4.0f};
  auto choice = cpu::choose_token(logits.data(), 4, 0.5f, {0.0f});
  EXPECT_EQ(choice.token, 1);
  EXPECT_TRUE(std::isnan(choice.logprob));
  logits[2] = 4.5f;
  EXPECT_EQ(cpu::choose_token(logits.data(), 4, 0.5f, {0.0f}).token, 2);
}

}  // namespace
}  // namespace pupil
