#include "reward/box_pool.h"

#include <algorithm>
#include <optional>

namespace pupil {
namespace {

constexpr size_t kMaxWaiting = 12;
constexpr uint64_t kStaleAfter = 64;  // boxes of other programs asked for since

constexpr const char* kCompile =
    "import marshal, sys\n"
    "code = compile(sys.stdin.read(), '<grader>', 'exec')\n"
    "sys.stdout.write(marshal.dumps(code).hex())\n";

Box start_box(const Sandbox& sandbox, const Program& program) {
  Box box = sandbox.start(program, {true, kUnlimitedOutput});
  Child* child = &box.child();
  Child::pump({&child, 1}, 0);  // hands over the program
  return box;
}

bool lives(Box& box) {
  Child* child = &box.child();
  Child::pump({&child, 1}, 0);
  return !child->finished();
}

}  // namespace

Program compiled(const Sandbox& sandbox, const Program& program) {
  const auto result = sandbox.run({.source = kCompile, .input = program.source});
  const bool is_code =
      result.outcome == ExecutionResult::Outcome::ok && !result.output.empty() &&
      result.output.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_code) return program;
  Program fast = program;
  fast.source =
      "exec(__import__('marshal').loads(bytes.fromhex('" + result.output + "')))\n";
  return fast;
}

BoxPool::BoxPool(std::shared_ptr<const Sandbox> sandbox, size_t num_ready)
    : sandbox_(std::move(sandbox)),
      num_ready_(num_ready),
      keeper_([this] { keep_filled(); }) {}

BoxPool::~BoxPool() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  keeper_.join();
}

void BoxPool::prepare(const Program& program) {
  std::lock_guard lock(mutex_);
  Shelf& shelf = shelves_[{program.tools, program.source}];
  if (shelf.program.source.empty()) shelf.program = program;
  shelf.last_asked = ++num_asked_;
  failing_ = false;
  changed_.notify_all();
}

Box BoxPool::take(const Program& program) {
  prepare(program);
  std::unique_lock lock(mutex_);
  Shelf& shelf = shelves_[{program.tools, program.source}];
  while (!shelf.ready.empty()) {
    std::list<Box> first;
    first.splice(first.begin(), shelf.ready, shelf.ready.begin());
    changed_.notify_all();
    lock.unlock();
    first.front().restart_clock();  // before its age is looked at
    if (lives(first.front())) return std::move(first.front());
    first.clear();
    lock.lock();
  }
  const Program now = shelf.program;
  lock.unlock();
  return start_box(*sandbox_, now);
}

size_t BoxPool::num_waiting() const {
  size_t count = 0;
  for (const auto& [key, shelf] : shelves_) count += shelf.ready.size();
  return count;
}

/// Lets go of boxes of programs that nobody has asked for in a while.
void BoxPool::drop_stale() {
  for (auto& [key, shelf] : shelves_) {
    if (num_asked_ - shelf.last_asked > kStaleAfter) shelf.ready.clear();
  }
}

/// The shelf, of those asked for lately, that lacks most; none where all are full.
BoxPool::Shelf* BoxPool::wanting_shelf() {
  Shelf* best = nullptr;
  for (auto& [key, shelf] : shelves_) {
    if (num_asked_ - shelf.last_asked > kStaleAfter) continue;
    if (shelf.ready.size() >= num_ready_) continue;
    if (!best || shelf.ready.size() < best->ready.size()) best = &shelf;
  }
  return best;
}

void BoxPool::fill(Shelf& shelf, std::unique_lock<std::mutex>& lock) {
  const Program program = shelf.program;
  const bool first = !std::exchange(shelf.is_compiled, true);
  lock.unlock();
  const Program fast = first ? compiled(*sandbox_, program) : program;
  std::list<Box> made;
  made.push_back(start_box(*sandbox_, fast));
  const bool failed = made.front().child().finished();
  lock.lock();
  if (first) shelf.program = fast;
  if (failed) {
    failing_ = true;  // until somebody asks again, and sees for himself
  } else {
    shelf.ready.splice(shelf.ready.end(), made);
  }
}

void BoxPool::keep_filled() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    drop_stale();
    Shelf* shelf = wanting_shelf();
    if (shelf && !failing_ && num_waiting() < kMaxWaiting) {
      fill(*shelf, lock);
    } else {
      changed_.wait(lock);
    }
  }
  shelves_.clear();
}

}  // namespace pupil
