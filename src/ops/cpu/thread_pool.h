// The one pool of threads under all CPU kernels.
//
// A job is a number of tiles; the caller and whichever workers are awake take the next
// tile until none is left, so a worker that the system does not run delays nobody.
// Workers spin for some 50 microseconds after their last tile, then sleep on a futex.

#pragma once

namespace pupil::cpu {

/// Uses `count` threads from now on, the caller included; 0 means one for each core
/// that this process may use. Waits for a running job. Throws std::invalid_argument
/// if `count` is negative.
void set_num_threads(int count);

int num_threads();

using TileFn = void (*)(const void* body, int tile);

/// Calls body(0) .. body(count - 1), each once, on several threads in any order, and
/// returns when all are done. From inside a tile, or while another thread runs a job,
/// all tiles run on the calling thread. `body` must not throw.
void run_tiles(int count, TileFn fn, const void* body);

template <class Body>
void parallel_for(int count, const Body& body) {
  auto call = [](const void* b, int tile) { (*static_cast<const Body*>(b))(tile); };
  run_tiles(count, call, &body);
}

}  // namespace pupil::cpu
