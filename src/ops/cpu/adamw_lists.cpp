#include "ops/cpu/adamw_lists.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <string>

#include "ops/cpu/arrays.h"
#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {

namespace {

using Arrays = std::vector<mx::array>;

constexpr int64_t kPiece = 8 * 1024;  // elements of a tile
constexpr size_t kSlack = 16 * 1024;  // bytes a reused buffer may be too large, as MLX

struct Piece {
  size_t array;  // its place in the list
  int64_t begin, count;
};

std::vector<Piece> pieces_of(const Arrays& arrays) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < arrays.size(); ++i) {
    auto size = static_cast<int64_t>(arrays[i].size());
    for (int64_t begin = 0; begin < size; begin += kPiece)
      pieces.push_back({i, begin, std::min(kPiece, size - begin)});
  }
  return pieces;
}

// Evaluates the arrays, as float32 in row order.
void make_dense(Arrays& arrays) {
  for (auto& a : arrays) {
    if (a.dtype() != mx::float32) a = mx::astype(a, mx::float32);
  }
  mx::eval(arrays);
  for (auto& a : arrays) {
    if (!a.flags().row_contiguous) a = mx::contiguous(a);
  }
  mx::eval(arrays);
}

bool may_overwrite(const mx::array& a) {
  return a.is_donatable() && a.buffer_size() <= a.nbytes() + kSlack;
}

mx::array fresh(const mx::array& like) {
  return mx::array(mx::allocator::malloc(like.nbytes()), like.shape(), mx::float32);
}

// The first of `choices` whose memory nobody else holds, or new memory.
mx::array room(std::initializer_list<const mx::array*> choices) {
  for (const auto* a : choices)
    if (may_overwrite(*a)) return *a;
  return fresh(**choices.begin());
}

void check_shapes(const AdamWState& state, const Arrays& grads) {
  for (const auto* list : {&state.params, &state.first, &state.second}) {
    if (list->size() != grads.size()) {
      throw std::invalid_argument(
          "[adamw] expected lists of one length, got " + std::to_string(list->size()) +
          " and " + std::to_string(grads.size()));
    }
    for (size_t i = 0; i < grads.size(); ++i) {
      if (list->at(i).shape() == grads[i].shape()) continue;
      std::ostringstream message;
      message << "[adamw] expected arrays of one shape, got " << list->at(i).shape()
              << " and " << grads[i].shape();
      throw std::invalid_argument(message.str());
    }
  }
}

}  // namespace

void adamw_step_fused(const AdamWState& state, Arrays grads, const AdamWStep& step) {
  check_shapes(state, grads);
  auto &params = state.params, &first = state.first, &second = state.second;
  for (auto* arrays : {&grads, &params, &first, &second}) make_dense(*arrays);
  Arrays new_params, new_first, new_second;
  for (size_t i = 0; i < grads.size(); ++i) {
    new_params.push_back(room({&params[i], &grads[i]}));
    new_first.push_back(room({&first[i]}));
    new_second.push_back(room({&second[i]}));
  }
  OperationTimer timer("AdamW");
  auto pieces = pieces_of(grads);
  parallel_for(static_cast<int>(pieces.size()), [&](int tile) {
    auto [i, begin, count] = pieces[tile];
    AdamWMemory at{
        grads[i].data<float>() + begin,
        params[i].data<float>() + begin,
        first[i].data<float>() + begin,
        second[i].data<float>() + begin,
        new_params[i].data<float>() + begin,
        new_first[i].data<float>() + begin,
        new_second[i].data<float>() + begin};
    kernels().adamw(step, at, count);
  });
  params = std::move(new_params);
  first = std::move(new_first);
  second = std::move(new_second);
}

float global_norm_fused(const Arrays& arrays) {
  auto dense = arrays;
  make_dense(dense);
  OperationTimer timer("GlobalNorm");
  auto pieces = pieces_of(dense);
  std::vector<double> sums(pieces.size());
  parallel_for(static_cast<int>(pieces.size()), [&](int tile) {
    auto [i, begin, count] = pieces[tile];
    sums[tile] = kernels().sum_of_squares(dense[i].data<float>() + begin, count);
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return static_cast<float>(std::sqrt(total));
}

}  // namespace pupil::cpu
