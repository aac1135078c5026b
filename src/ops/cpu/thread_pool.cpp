#include "ops/cpu/thread_pool.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/cores.h"

namespace pupil::cpu {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(50);

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until ready() or the spin time is over; returns ready().
template <class Ready>
bool spin_until(const Ready& ready) {
  auto end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (Clock::now() < end);
  return ready();
}

class ThreadPool {
 public:
  ThreadPool() { start(0); }

  void resize(int count) {
    while (busy_.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
    stop();
    start(count);
    busy_.clear(std::memory_order_release);
  }

  int size() const { return size_.load(std::memory_order_relaxed); }

  void run(int count, TileFn fn, const void* body) {
    bool alone = count <= 1 || size() == 1;
    if (alone || busy_.test_and_set(std::memory_order_acquire)) {
      for (int tile = 0; tile < count; ++tile) fn(body, tile);
      return;
    }
    publish(count, fn, body);
    take_tiles();
    wait_until_done();
    busy_.clear(std::memory_order_release);
  }

 private:
  // The tiles of the current job: count in the high half, next in the low half. A
  // successful exchange owns tile `next` of the job that is current at that moment,
  // and the job cannot end before that tile does: its fields are stable until then.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<TileFn> fn_{nullptr};
  std::atomic<const void*> body_{nullptr};
  std::atomic<int> pending_{0};
  std::atomic<int> signal_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::atomic_flag busy_;
  std::atomic<int> size_{1};
  std::vector<std::thread> workers_;

  static bool open(uint64_t ticket) {
    return static_cast<uint32_t>(ticket) < static_cast<uint32_t>(ticket >> 32);
  }

  void publish(int count, TileFn fn, const void* body) {
    fn_.store(fn, std::memory_order_relaxed);
    body_.store(body, std::memory_order_relaxed);
    pending_.store(count, std::memory_order_relaxed);
    ticket_.store(static_cast<uint64_t>(count) << 32);
    wake_sleepers();
  }

  void wake_sleepers() {
    if (sleepers_.load() == 0) return;
    signal_.fetch_add(1);
    signal_.notify_all();
  }

  void take_tiles() {
    uint64_t ticket = ticket_.load();
    while (open(ticket)) {
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1)) continue;
      auto fn = fn_.load(std::memory_order_relaxed);
      fn(body_.load(std::memory_order_relaxed), static_cast<int>(ticket & 0xffffffffu));
      if (pending_.fetch_sub(1) == 1) pending_.notify_one();
      ticket = ticket_.load();
    }
  }

  void wait_until_done() {
    if (spin_until([this] { return pending_.load() == 0; })) return;
    for (int left = pending_.load(); left != 0; left = pending_.load())
      pending_.wait(left);
  }

  void work() {
    while (!stopping_.load()) {
      take_tiles();
      auto ready = [this] { return open(ticket_.load()) || stopping_.load(); };
      if (!spin_until(ready)) sleep_until_signalled();
    }
  }

  void sleep_until_signalled() {
    int seen = signal_.load();
    sleepers_.fetch_add(1);
    if (!open(ticket_.load()) && !stopping_.load()) signal_.wait(seen);
    sleepers_.fetch_sub(1);
  }

  void start(int count) {
    int total = count > 0 ? count : num_cores();
    stopping_.store(false);
    for (int i = 1; i < total; ++i) workers_.emplace_back([this] { work(); });
    size_.store(total);
  }

  void stop() {
    stopping_.store(true);
    signal_.fetch_add(1);
    signal_.notify_all();
    for (auto& worker : workers_) worker.join();
    workers_.clear();
  }
};

// Never destroyed: MLX's threads may still compute while the process ends.
ThreadPool& pool() {
  static auto* instance = new ThreadPool;
  return *instance;
}

}  // namespace

void set_num_threads(int count) {
  if (count < 0)
    throw std::invalid_argument(
        "[set_num_threads] expected 0 or more, got " + std::to_string(count));
  pool().resize(count);
}

int num_threads() {
  return pool().size();
}

void run_tiles(int count, TileFn fn, const void* body) {
  pool().run(count, fn, body);
}

}  // namespace pupil::cpu
