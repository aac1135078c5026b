#include "models/attend.h"

#include <cmath>
#include <numeric>

#include "ops/cpu/attention_types.h"
#include "ops/host_values.h"
#include "ops/kv_codes.h"

namespace pupil {

namespace {

// [T, K, E] of one sequence -> [1, K, T, E]
mx::array heads_first(const mx::array& x) {
  return mx::expand_dims(mx::transpose(x, {1, 0, 2}), 0);
}

mx::array tokens_between(const mx::array& x, int begin, int end) {
  return mx::slice(x, {begin, 0, 0}, {end, x.shape(1), x.shape(2)});
}

// Adds tokens [T, K, E] to what a layer holds.
void extend(std::vector<mx::array>& held, int layer, const mx::array& tokens) {
  auto fresh = heads_first(tokens);
  if (std::ssize(held) == layer) {
    held.push_back(fresh);
  } else {
    held[layer] = mx::concatenate({held[layer], fresh}, 2);
  }
}

/// The next tokens of some sequences, one after the other.
struct Flattened {
  std::vector<int> tokens, positions, ends = {0};

  explicit Flattened(const std::vector<NextTokens>& sequences) {
    for (const auto& [next, cache] : sequences) {
      int first = cache->length();
      tokens.insert(tokens.end(), next.begin(), next.end());
      for (size_t i = 0; i < next.size(); ++i)
        positions.push_back(first + static_cast<int>(i));
      ends.push_back(static_cast<int>(tokens.size()));
    }
  }
};

AttendFn attend_within(const Decoder& model, std::vector<Segment> segments) {
  std::vector<AttentionRule> rules;
  for (int i = 0; i < model.config.num_layers; ++i)
    rules.push_back(attention_rule(model.config, i));
  return
      [segments = std::move(segments), rules = std::move(rules), bits = model.kv_bits](
          int layer, const mx::array& q, const mx::array& k, const mx::array& v) {
        auto keys = kv_rounded(k, bits), values = kv_rounded(v, bits);
        return packed_attention(q, keys, values, segments, rules.at(layer));
      };
}

/// The rows of a forward over a prompt and the completions that branch off it. A
/// branch's inputs are all its tokens but the last, at the positions after the prompt.
struct Branches {
  std::vector<int> inputs;     // of the branches, index into [G * T]
  std::vector<int> positions;  // of all rows
  std::vector<int> sources;    // the row that predicts each completion token
  std::vector<Segment> segments;

  Branches(int prompt, int width, const std::vector<int>& lengths) {
    positions.resize(prompt);
    std::iota(positions.begin(), positions.end(), 0);
    segments.push_back({prompt});
    for (size_t g = 0; g < lengths.size(); ++g) {
      segments.push_back({lengths[g] - 1, 0});
      sources.push_back(prompt - 1);
      for (int t = 0; t + 1 < lengths[g]; ++t) {
        inputs.push_back(static_cast<int>(g) * width + t);
        sources.push_back(static_cast<int>(positions.size()));
        positions.push_back(prompt + t);
      }
    }
  }
};

}  // namespace

AttentionRule attention_rule(const DecoderConfig& config, int layer) {
  float scale = config.attention_scale;
  if (scale == 0) scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  return {scale, config.layer(layer).window, config.attention_cap};
}

int64_t cache_bytes_per_token(const Decoder& model) {
  const auto& config = model.config;
  int64_t width = config.head_dim, group = kv_group(config.head_dim);
  int64_t bytes = model.kv_bits == 8
                      ? cpu::coded_bytes(width, group)
                      : width * static_cast<int64_t>(mx::size_of(model.dtype));
  return int64_t{2} * config.num_layers * config.num_kv_heads * bytes;
}

mx::array sequence_hidden(const Decoder& model, const mx::array& tokens) {
  int B = tokens.shape(0), T = tokens.shape(1);
  auto attend = attend_within(model, std::vector<Segment>(B, Segment{T}));
  auto positions = mx::flatten(mx::broadcast_to(mx::arange(T), {B, T}));
  auto hidden = model(mx::flatten(tokens), positions, attend);
  return mx::reshape(hidden, {B, T, -1});
}

mx::array prefill(const Decoder& model, const std::vector<NextTokens>& sequences) {
  Flattened flat(sequences);
  auto attend =
      [&](int layer, const mx::array& q, const mx::array& k, const mx::array& v) {
        auto rounded_k = kv_rounded(k, model.kv_bits);
        auto rounded_v = kv_rounded(v, model.kv_bits);
        std::vector<GrownSequence> grown;
        for (size_t i = 0; i < sequences.size(); ++i) {
          auto& [keys, values] = *sequences[i].cache;
          int begin = flat.ends[i], end = flat.ends[i + 1];
          extend(keys, layer, tokens_between(rounded_k, begin, end));
          extend(values, layer, tokens_between(rounded_v, begin, end));
          grown.push_back({keys[layer], values[layer], end - begin});
        }
        return grown_attention(q, grown, attention_rule(model.config, layer));
      };
  auto hidden = model(int_array(flat.tokens), int_array(flat.positions), attend);
  std::vector<int> last;
  for (size_t i = 1; i < flat.ends.size(); ++i) last.push_back(flat.ends[i] - 1);
  return mx::take(hidden, int_array(last), 0);
}

mx::array completion_hidden(
    const Decoder& model,
    const mx::array& prompt,
    const mx::array& completions,
    const std::vector<int>& lengths) {
  Branches branches(prompt.shape(0), completions.shape(1), lengths);
  auto inputs = mx::take(mx::flatten(completions), int_array(branches.inputs), 0);
  auto hidden = model(
      mx::concatenate({prompt, inputs}),
      int_array(branches.positions),
      attend_within(model, branches.segments));
  return mx::take(hidden, int_array(branches.sources), 0);
}

}  // namespace pupil
