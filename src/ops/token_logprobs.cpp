#include "ops/token_logprobs.h"

#include <algorithm>
#include <vector>

#include "ops/token_stats.h"

namespace pupil {

namespace {

// The rows of one chunk and what came of them.
struct Chunk {
  mx::array logprobs;   // [n]
  mx::array entropy;    // [n]
  mx::array direction;  // [n, D] d logprobs / d hidden; [n, 0] if not asked for
};

mx::array gradient_through(
    const HeadFn& head, const mx::array& hidden, const mx::array& cotangent) {
  auto run = [&](const std::vector<mx::array>& in) {
    return std::vector<mx::array>{head(in[0])};
  };
  auto logits_type = head(hidden).dtype();
  return mx::vjp(run, {hidden}, {mx::astype(cotangent, logits_type)}).second[0];
}

Chunk run_chunk(
    const mx::array& hidden,
    const mx::array& targets,
    const HeadFn& head,
    float temperature,
    bool with_direction) {
  auto stats = token_stats(head(hidden), targets, temperature, with_direction);
  auto direction = with_direction ? gradient_through(head, hidden, *stats.gradient)
                                  : mx::zeros({hidden.shape(0), 0}, hidden.dtype());
  return {stats.logprobs, stats.entropy, direction};
}

mx::array rows(const mx::array& a, int first, int last) {
  auto start = mx::Shape(a.ndim(), 0), stop = a.shape();
  start[0] = first;
  stop[0] = last;
  return mx::slice(a, start, stop);
}

mx::array joined(const std::vector<Chunk>& chunks, mx::array Chunk::*part) {
  std::vector<mx::array> parts;
  for (const auto& chunk : chunks) parts.push_back(chunk.*part);
  return parts.size() == 1 ? parts[0] : mx::concatenate(parts, 0);
}

// {logprobs, entropy, direction} of all rows, chunk after chunk: each one's input
// depends on the output before it, so that the scheduler cannot start two at once.
std::vector<mx::array> run_chunks(
    const mx::array& hidden,
    const mx::array& targets,
    const HeadFn& head,
    float temperature,
    int size,
    bool with_direction) {
  std::vector<Chunk> chunks;
  for (int first = 0; first < hidden.shape(0); first += size) {
    int last = std::min(first + size, hidden.shape(0));
    auto h = rows(hidden, first, last);
    if (!chunks.empty()) {
      const auto& before = chunks.back();
      h = mx::depends({h}, {with_direction ? before.direction : before.logprobs})[0];
    }
    chunks.push_back(
        run_chunk(h, rows(targets, first, last), head, temperature, with_direction));
  }
  return {
      joined(chunks, &Chunk::logprobs),
      joined(chunks, &Chunk::entropy),
      joined(chunks, &Chunk::direction)};
}

}  // namespace

TokenLogprobs token_logprobs(
    const mx::array& hidden,
    const mx::array& targets,
    const HeadFn& head,
    float temperature,
    int chunk) {
  if (hidden.shape(0) == 0) {
    auto none = mx::zeros({0}, mx::float32);
    return {none, none};
  }
  // A row's gradient is its cotangent times a direction that the forward pass can find
  // while it has the logits; under differentiation it does, and the head's logits are
  // computed once instead of twice.
  bool differentiated = hidden.is_tracer();
  auto forward = [&](const std::vector<mx::array>& in) {
    return run_chunks(in[0], in[1], head, temperature, chunk, differentiated);
  };
  if (!differentiated) {
    auto outputs = forward({hidden, targets});
    return {outputs[0], outputs[1]};
  }
  auto backward = [](const std::vector<mx::array>& in,
                     const std::vector<mx::array>& cotangents,
                     const std::vector<mx::array>& outputs) {
    auto scale = mx::expand_dims(cotangents[0], 1);  // [N, 1]
    auto gradient = mx::astype(scale * outputs[2], in[0].dtype());
    return std::vector<mx::array>{gradient, mx::zeros_like(in[1])};
  };
  auto outputs = mx::custom_vjp(forward, backward)({hidden, targets});
  return {outputs[0], mx::stop_gradient(outputs[1])};
}

mx::array logprobs_of(
    const mx::array& logits, const mx::array& targets, float temperature) {
  return token_stats(logits, targets, temperature, false).logprobs;
}

}  // namespace pupil
