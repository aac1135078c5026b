// The row-wise maths of a decoder layer, the cache's codes, and the embedding.

#include "benches.h"
#include "cases.h"
#include "ops/activations.h"
#include "ops/kv_codes.h"
#include "ops/rope.h"
#include "weights.h"

namespace pupil::bench {
namespace {

constexpr int kRows = 512;
constexpr float kEps = 1e-5f;

// So many float32 matrices [kRows, width], read or written.
Work matrices(int count, int width) {
  return {.bytes = 4.0 * count * kRows * width};
}

void add_rms_norm(bool backward) {
  add_op(
      {.name = std::string("rms_norm/512x576") + (backward ? "/to_input" : ""),
       .work = matrices(backward ? 3 : 2, kWidth),
       .inputs = [] { return Arrays{numbers({kRows, kWidth}), numbers({kWidth})}; },
       .ours = [](const Arrays& v) { return Arrays{rms_norm(v[0], v[1], kEps)}; },
       .fallback =
           [](const Arrays& v) { return Arrays{mx::fast::rms_norm(v[0], v[1], kEps)}; },
       .differentiated = backward ? 1 : 0});
}

void add_swiglu(bool backward) {
  add_op(
      {.name = std::string("swiglu/512x1536") + (backward ? "/gradients" : ""),
       .work = matrices(backward ? 5 : 3, kInner),
       .inputs =
           [] { return Arrays{numbers({kRows, kInner}), numbers({kRows, kInner})}; },
       .ours = [](const Arrays& v) { return Arrays{swiglu(v[0], v[1])}; },
       .fallback =
           [](const Arrays& v) { return Arrays{v[0] * mx::sigmoid(v[0]) * v[1]}; },
       .differentiated = backward ? 2 : 0});
}

// Gemma's; in MLX operations on every device, so that it is its own fallback.
void add_geglu(bool backward) {
  add_op(
      {.name = std::string("geglu/512x1536") + (backward ? "/gradients" : ""),
       .work = matrices(backward ? 5 : 3, kInner),
       .inputs =
           [] { return Arrays{numbers({kRows, kInner}), numbers({kRows, kInner})}; },
       .ours = [](const Arrays& v) { return Arrays{geglu(v[0], v[1])}; },
       .fallback = {},
       .differentiated = backward ? 2 : 0});
}

// What a cache of 8 bits leaves of the keys or values of 512 tokens.
void add_kv_rounded() {
  add_op(
      {.name = "kv_rounded/512x3x64",
       .work = matrices(2, kKvHeads * kHeadWidth),
       .inputs = [] { return Arrays{numbers({kRows, kKvHeads, kHeadWidth})}; },
       .ours = [](const Arrays& v) { return Arrays{kv_rounded(v[0], 8)}; },
       .fallback = [](const Arrays& v) { return Arrays{kv_rounded_fallback(v[0])}; }});
}

// v: x, cos, sin.
Arrays rope_inputs() {
  auto periods = mx::exp(mx::linspace(0, 9, kHeadWidth / 2));
  auto table = rope_table(mx::arange(kRows), periods);
  mx::eval(table.cos, table.sin);
  return {numbers({kRows, kHeads, kHeadWidth}), table.cos, table.sin};
}

void add_rope(bool backward) {
  add_op(
      {.name = std::string("rope/512x9x64") + (backward ? "/to_input" : ""),
       .work = matrices(2, kWidth),
       .inputs = rope_inputs,
       .ours = [](const Arrays& v) { return Arrays{rope(v[0], {v[1], v[2]})}; },
       .fallback =
           [](const Arrays& v) { return Arrays{rope_fallback(v[0], {v[1], v[2]})}; },
       .differentiated = backward ? 1 : 0});
}

// Rows of the packed embedding table.
void add_embedding() {
  Case c{"quantized_rows/q8/512_of_49152x576", matrices(1, kWidth), {}, {}};
  c.work.bytes += weight_bytes(kWidth, kRows, 8);
  auto rows = [](const QuantizedWeight& table) {
    return [=](int) {
      auto op = [=](const Arrays& v) {
        return Arrays{quantized_rows(table, v[0], mx::float32)};
      };
      return call_of(op, {ids(kRows, kVocab)});
    };
  };
  c.ours = [=](int copy) { return rows(kept_weight(kWidth, kVocab, 8))(copy); };
  c.fallback = [=](int copy) {
    static const auto table = plain_weight(kWidth, kVocab, 8);
    return rows(table)(copy);
  };
  add_case(std::move(c));
}

}  // namespace

void add_elementwise() {
  for (bool backward : {false, true}) {
    add_rms_norm(backward);
    add_swiglu(backward);
    add_geglu(backward);
    add_rope(backward);
  }
  add_kv_rounded();
  add_embedding();
}

}  // namespace pupil::bench
