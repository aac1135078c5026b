// Randomness without state: a number is a function of its key, so that batching, the
// number of workers and a resume cannot change it.

#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <utility>
#include <vector>

namespace pupil {

/// One round of splitmix64 (Steele, Lea, Flood 2014): a bijection that scatters bits.
constexpr uint64_t mix_bits(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

/// 64 random bits for a key, for example {seed, prompt, row, position}.
constexpr uint64_t keyed_bits(std::initializer_list<uint64_t> key) {
  uint64_t state = 0;
  for (uint64_t part : key) state = mix_bits(state ^ part);
  return mix_bits(state);
}

/// Uniform in [0, 1), with 24 bits, so that it stays below 1 as a float.
constexpr float keyed_uniform(std::initializer_list<uint64_t> key) {
  return static_cast<float>(keyed_bits(key) >> 40) * 0x1p-24f;
}

/// A fixed order of `count` things that follows from `seed` alone: element i is what
/// stands at place i.
inline std::vector<size_t> shuffled(size_t count, uint64_t seed) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = count; i > 1; --i) {
    std::swap(order[i - 1], order[keyed_bits({seed, i}) % i]);
  }
  return order;
}

}  // namespace pupil
