// Attention as a decode step, a prefill and a training step call it. The fallbacks put
// each row's keys behind a copy of the prefix and call MLX's own attention.

#include "benches.h"
#include "cases.h"
#include "ops/attention.h"

namespace pupil::bench {
namespace {

constexpr float kScale = 0.125f;

// B rows of T new tokens behind P shared ones.
struct Size {
  int B, T, P;

  // Of all rows, each query with the keys that it sees.
  double pairs() const { return B * T * (P + (T + 1) / 2.0); }
  // Keys and values of the prefix once and of each row's tokens; queries and outputs.
  double bytes() const {
    return 4.0 * kHeadWidth * (2.0 * kKvHeads * (P + B * T) + 2.0 * kHeads * B * T);
  }
};

// v: q, the prefix's k and v, own k and v.
Arrays inputs_of(const Size& s, int own) {
  return {
      numbers({s.B, kHeads, s.T, kHeadWidth}),
      numbers({1, kKvHeads, s.P, kHeadWidth}),
      numbers({1, kKvHeads, s.P, kHeadWidth}),
      numbers({s.B, kKvHeads, own, kHeadWidth}),
      numbers({s.B, kKvHeads, own, kHeadWidth})};
}

mx::array behind(const mx::array& prefix, const mx::array& own) {
  auto shape = prefix.shape();
  shape[0] = own.shape(0);
  return mx::concatenate({mx::broadcast_to(prefix, shape), own}, 2);
}

Arrays plain_attention(const Arrays& v) {
  return {mx::fast::scaled_dot_product_attention(
      v[0], behind(v[1], v[3]), behind(v[2], v[4]), kScale, "causal")};
}

// q, k, v of a prompt of P tokens and B branches of T, packed.
Arrays packed_inputs(const Size& s) {
  int tokens = s.P + s.B * s.T;
  return {
      numbers({tokens, kHeads, kHeadWidth}),
      numbers({tokens, kKvHeads, kHeadWidth}),
      numbers({tokens, kKvHeads, kHeadWidth})};
}

// Scores and weighted values are two products a pair; the way back has five.
void add_branches(const std::string& name, const Size& s, bool backward) {
  int products = backward ? 5 : 2;
  std::vector<Segment> segments;
  if (s.P > 0) segments.push_back({s.P});
  segments.insert(segments.end(), s.B, Segment{s.T, s.P > 0 ? 0 : -1});
  Size prompt{1, s.P, 0};
  auto op = [=](decltype(packed_attention)* attend) {
    return [=](const Arrays& v) {
      return Arrays{attend(v[0], v[1], v[2], segments, kScale)};
    };
  };
  add_op(
      {.name = name,
       .work =
           {.f32 = 2.0 * products * kHeads * kHeadWidth * (s.pairs() + prompt.pairs()),
            .bytes = (backward ? 2 : 1) * s.bytes()},
       .inputs = [=] { return packed_inputs(s); },
       .ours = op(packed_attention),
       .fallback = op(packed_attention_fallback),
       .differentiated = backward ? 3 : 0,
       .slow_fallback = true});
}

// One new token a row: its tail has `own` keys.
void add_decode(int rows, int prefix, int own) {
  Size s{rows, 1, prefix};
  double keys = 1.0 * prefix + 1.0 * rows * own;
  add_op(
      {.name = "attention/decode/" + std::to_string(rows) + "x(" +
               std::to_string(prefix) + "+" + std::to_string(own) + ")",
       .work =
           {.f32 = 4.0 * kHeads * kHeadWidth * rows * (prefix + own),
            .bytes = 4.0 * kHeadWidth * (2 * kKvHeads * keys + 2 * kHeads * rows)},
       .inputs = [=] { return inputs_of(s, own); },
       .ours =
           [=](const Arrays& v) {
             return Arrays{decode_attention(
                 v[0],
                 {{v[1], v[2], rows}},
                 v[3],
                 v[4],
                 std::vector<int>(rows, own),
                 kScale)};
           },
       .fallback = plain_attention});
}

// The last `chunk` tokens of a prompt of `tokens`, as a prefill between decode steps
// runs them. v: q, k, v.
void add_grown(int chunk, int tokens) {
  Size s{1, chunk, tokens - chunk};
  auto op = [=](decltype(grown_attention)* attend) {
    return [=](const Arrays& v) {
      return Arrays{attend(v[0], {{v[1], v[2], chunk}}, kScale)};
    };
  };
  add_op(
      {.name =
           "attention/grown/" + std::to_string(chunk) + "_of_" + std::to_string(tokens),
       .work = {.f32 = 4.0 * kHeads * kHeadWidth * s.pairs(), .bytes = s.bytes()},
       .inputs =
           [=] {
             mx::Shape keys = {1, kKvHeads, tokens, kHeadWidth};
             auto q = numbers({chunk, kHeads, kHeadWidth});
             return Arrays{q, numbers(keys), numbers(keys)};
           },
       .ours = op(grown_attention),
       .fallback = op(grown_attention_fallback)});
}

}  // namespace

void add_attention() {
  add_decode(1, 512, 32);
  add_decode(8, 512, 32);
  add_branches("attention/prefill/512", {1, 512, 0}, false);
  add_grown(64, 512);
  add_branches("attention/branches/8x(116+64)", {8, 64, 116}, false);
  add_branches("attention/branches/8x(116+64)/gradients", {8, 64, 116}, true);
}

}  // namespace pupil::bench
