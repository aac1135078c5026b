#include "ops/no_cache.h"

#include <mutex>

#include "mlx/memory.h"
#include "ops/cpu/arrays.h"

namespace pupil {
namespace {

std::mutex mutex;
int alive = 0;
size_t limit_before = 0;

}  // namespace

NoCache::NoCache() {
  std::lock_guard lock(mutex);
  if (alive++ > 0 || !cpu::on_cpu()) return;
  limit_before = mlx::core::set_cache_limit(0);
  mlx::core::clear_cache();
}

NoCache::~NoCache() {
  std::lock_guard lock(mutex);
  if (--alive == 0 && cpu::on_cpu()) mlx::core::set_cache_limit(limit_before);
}

}  // namespace pupil
