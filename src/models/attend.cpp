#include "models/attend.h"

#include <cmath>
#include <numeric>

#include "ops/attention.h"

namespace pupil {

namespace {

// [B * T, H, E] -> [B, H, T, E]
mx::array split_rows(const mx::array& x, int B, int T) {
  return mx::transpose(mx::reshape(x, {B, T, x.shape(1), x.shape(2)}), {0, 2, 1, 3});
}

// [B, H, T, E] -> [B * T, H, E]
mx::array join_rows(const mx::array& x) {
  return mx::reshape(
      mx::transpose(x, {0, 2, 1, 3}),
      {x.shape(0) * x.shape(2), x.shape(1), x.shape(3)});
}

mx::array tokens_between(const mx::array& x, int begin, int end) {
  return mx::slice(x, {begin, 0, 0}, {end, x.shape(1), x.shape(2)});
}

mx::array int_array(const std::vector<int>& values) {
  return mx::array(values.data(), {static_cast<int>(values.size())}, mx::int32);
}

}  // namespace

float attention_scale(const Decoder& model) {
  return 1.0f / std::sqrt(static_cast<float>(model.config.head_dim));
}

mx::array sequence_hidden(const Decoder& model, const mx::array& tokens) {
  int B = tokens.shape(0), T = tokens.shape(1);
  float scale = attention_scale(model);
  auto attend = [&](int, const mx::array& q, const mx::array& k, const mx::array& v) {
    return join_rows(causal_attention(
        split_rows(q, B, T), split_rows(k, B, T), split_rows(v, B, T), scale));
  };
  auto positions = mx::flatten(mx::broadcast_to(mx::arange(T), {B, T}));
  auto hidden = model(mx::flatten(tokens), positions, attend);
  return mx::reshape(hidden, {B, T, -1});
}

mx::array prefill(
    const Decoder& model,
    const std::vector<std::vector<int>>& prompts,
    std::vector<PrefixCache>& caches) {
  std::vector<int> tokens, positions, ends;
  for (const auto& prompt : prompts) {
    tokens.insert(tokens.end(), prompt.begin(), prompt.end());
    for (size_t i = 0; i < prompt.size(); ++i) positions.push_back(static_cast<int>(i));
    ends.push_back(static_cast<int>(tokens.size()));
  }
  caches.assign(prompts.size(), {});
  float scale = attention_scale(model);
  auto attend = [&](int, const mx::array& q, const mx::array& k, const mx::array& v) {
    std::vector<mx::array> outs;
    for (size_t i = 0; i < prompts.size(); ++i) {
      int begin = i == 0 ? 0 : ends[i - 1], T = ends[i] - begin;
      auto part = [&](const mx::array& x) {
        return split_rows(tokens_between(x, begin, ends[i]), 1, T);
      };
      caches[i].k.push_back(part(k));
      caches[i].v.push_back(part(v));
      outs.push_back(join_rows(
          causal_attention(part(q), caches[i].k.back(), caches[i].v.back(), scale)));
    }
    return outs.size() == 1 ? outs[0] : mx::concatenate(outs, 0);
  };
  auto hidden = model(int_array(tokens), int_array(positions), attend);
  for (auto& end : ends) --end;
  return mx::take(hidden, int_array(ends), 0);
}

mx::array completion_hidden(
    const Decoder& model, const mx::array& prompt, const mx::array& completions) {
  int P = prompt.shape(0), G = completions.shape(0), T = completions.shape(1) - 1;
  float scale = attention_scale(model);
  auto attend = [&](int, const mx::array& q, const mx::array& k, const mx::array& v) {
    auto shared = [&](const mx::array& x) {
      return split_rows(tokens_between(x, 0, P), 1, P);
    };
    auto prefix_k = shared(k), prefix_v = shared(v);
    auto out = join_rows(causal_attention(shared(q), prefix_k, prefix_v, scale));
    if (T == 0) return out;
    auto own = [&](const mx::array& x) {
      return split_rows(tokens_between(x, P, P + G * T), G, T);
    };
    auto branches = branch_attention(own(q), prefix_k, prefix_v, own(k), own(v), scale);
    return mx::concatenate({out, join_rows(branches)}, 0);
  };
  // A branch's inputs are all its tokens but the last, at the positions after the
  // prompt.
  auto inputs = mx::flatten(mx::slice(completions, {0, 0}, {G, T}));
  auto branch_positions = mx::flatten(mx::broadcast_to(mx::arange(P, P + T), {G, T}));
  auto hidden = model(
      mx::concatenate({prompt, inputs}),
      mx::concatenate({mx::arange(P), branch_positions}),
      attend);
  int D = hidden.shape(1);
  auto first = mx::broadcast_to(mx::slice(hidden, {P - 1, 0}, {P, D}), {G, D});
  auto rest = mx::reshape(mx::slice(hidden, {P, 0}, {P + G * T, D}), {G, T, D});
  return mx::concatenate({mx::expand_dims(first, 1), rest}, 1);
}

}  // namespace pupil
