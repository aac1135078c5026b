// Whole decode steps of a model with random weights: a layer as one operation, beside
// its operations one by one.

#include "benches.h"
#include "cases.h"
#include "models/model.h"
#include "models/random_model.h"
#include "rollout/decode_state.h"

namespace pupil::bench {
namespace {

constexpr int kPrompt = 64, kSteps = 16;
constexpr int kLayers = 30;
constexpr Quantization kPacking{64, 4};

const Decoder& decoder() {
  static const Decoder model = [] {
    TemporaryModel files("smollm2-135m", kPacking);
    auto loaded = load_decoder(files.path());
    mx::eval(select_parameters(loaded, [](const std::string&) { return true; }));
    return loaded;
  }();
  return model;
}

// Every weight once, the head's among them, and the prompt's keys and values.
Work step_work(int rows) {
  double layer = 2.0 * kWidth * kWidth + 2.0 * kWidth * kKvHeads * kHeadWidth +
                 3.0 * kWidth * kInner;
  double weights = kLayers * layer + 1.0 * kWidth * kVocab;
  double packed = kPacking.bits / 8.0 + 4.0 / kPacking.group_size;
  double keys = 1.0 * kLayers * kPrompt * kKvHeads * kHeadWidth;
  return {
      .f32 = 4.0 * rows * kLayers * kPrompt * kHeads * kHeadWidth,
      .dot16 = 2.0 * rows * weights,
      .bytes = packed * weights + 2 * 4.0 * keys};
}

// The rows of a call go on in the next, eight times; then others begin, whose prompt is
// a fortieth of the time.
Call steps(int rows, bool fused) {
  std::vector<int> prompt(kPrompt, 7);
  auto state = std::make_shared<DecodeState>(decoder(), 9 * kSteps + kPrompt, fused);
  mx::eval(state->add({prompt}, rows));
  auto calls = std::make_shared<int>(0);
  return [=, tokens = ids(rows, kVocab)] {
    if (++*calls % 8 == 0) {
      state->keep({});
      mx::eval(state->add({prompt}, rows));
    }
    for (int i = 0; i < kSteps; ++i) mx::eval(state->feed(tokens));
    return Arrays{};
  };
}

void add_steps(int rows) {
  auto work = step_work(rows);
  for (double* part : {&work.f32, &work.dot16, &work.bytes}) *part *= kSteps;
  Case c{
      std::to_string(kSteps) +
          "_decode_steps/smollm2-135m/rows:" + std::to_string(rows),
      work,
      [=](int) { return steps(rows, true); },
      [=](int) { return steps(rows, false); }};
  add_case(std::move(c));
}

}  // namespace

void add_decode_steps() {
  for (int rows : {1, 8}) add_steps(rows);
}

}  // namespace pupil::bench
