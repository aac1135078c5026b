// Boxes that were started before there is work for them: each has its interpreter up
// and its grader program loaded, gets one answer's code, and is destroyed.

#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "reward/sandbox.h"

namespace pupil {

/// `program` with its source compiled, by a box that runs nothing else: it starts in a
/// fraction of the time. As it is where that fails.
Program compiled(const Sandbox& sandbox, const Program& program);

/// Keeps boxes ready, a few of each program that was asked for lately. A thread of its
/// own starts them, for a box ends with the thread that started it. May be used from
/// many threads.
class BoxPool {
 public:
  /// At most `num_ready` boxes of one program wait, and at most twelve in all.
  BoxPool(std::shared_ptr<const Sandbox> sandbox, size_t num_ready);
  ~BoxPool();
  BoxPool(const BoxPool&) = delete;
  BoxPool& operator=(const BoxPool&) = delete;

  const Sandbox& sandbox() const { return *sandbox_; }

  /// A box with `program` in it, its clock at 0; started here and now where none waits.
  /// Its input is open and its output is not limited as a whole.
  Box take(const Program& program);
  /// Starts boxes of `program` for later.
  void prepare(const Program& program);

 private:
  using Key = std::pair<Language, std::string>;
  struct Shelf {
    Program program;  // compiled
    bool is_compiled = false;
    std::list<Box> ready;
    uint64_t last_asked = 0;
  };

  void keep_filled();
  Shelf* wanting_shelf();
  void drop_stale();
  void fill(Shelf& shelf, std::unique_lock<std::mutex>& lock);
  size_t num_waiting() const;

  std::shared_ptr<const Sandbox> sandbox_;
  size_t num_ready_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::map<Key, Shelf> shelves_;
  uint64_t num_asked_ = 0;
  bool ending_ = false, failing_ = false;
  std::thread keeper_;
};

}  // namespace pupil
