#include "data/task_order.h"

#include <numeric>
#include <stdexcept>
#include <utility>

#include "base/random.h"

namespace pupil {
namespace {

constexpr uint64_t kOrderStream =
    0x7461736b73;  // apart from every other use of the seed

/// Uniform in [0, bound) up to a bias of bound / 2^64.
size_t keyed_below(uint64_t seed, uint64_t epoch, size_t bound) {
  return keyed_bits({kOrderStream, seed, epoch, bound}) % bound;
}

/// The order of one epoch: Fisher and Yates's shuffle, as Knuth gives it (TAOCP 3.4.2).
std::vector<size_t> order_of_epoch(const TaskOrder& order, uint64_t epoch) {
  std::vector<size_t> tasks(order.num_tasks);
  std::iota(tasks.begin(), tasks.end(), size_t{0});
  if (!order.shuffle) return tasks;
  for (size_t left = tasks.size(); left > 1; --left) {
    std::swap(tasks[left - 1], tasks[keyed_below(order.seed, epoch, left)]);
  }
  return tasks;
}

}  // namespace

std::vector<size_t> tasks_in_order(
    const TaskOrder& order, uint64_t first, size_t count) {
  if (order.num_tasks == 0) {
    throw std::invalid_argument("[tasks_in_order] expected at least one task");
  }
  std::vector<size_t> drawn;
  uint64_t position = first;
  while (drawn.size() < count) {
    auto tasks = order_of_epoch(order, position / order.num_tasks);
    size_t i = position % order.num_tasks;
    for (; i < tasks.size() && drawn.size() < count; ++i, ++position) {
      drawn.push_back(tasks[i]);
    }
  }
  return drawn;
}

}  // namespace pupil
