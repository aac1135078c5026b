#include "ops/no_cache.h"

#include <mutex>
#include <optional>

#include "mlx/memory.h"
#include "ops/cpu/arrays.h"

namespace pupil {
namespace {

std::mutex mutex;
int alive = 0;
std::optional<size_t> limit_before;  // where it was switched off

}  // namespace

NoCache::NoCache() {
  std::lock_guard lock(mutex);
  if (alive++ > 0 || !cpu::on_cpu()) return;
  limit_before = mlx::core::set_cache_limit(0);
  mlx::core::clear_cache();
}

NoCache::~NoCache() {
  std::lock_guard lock(mutex);
  if (--alive > 0 || !limit_before) return;
  mlx::core::set_cache_limit(*limit_before);
  limit_before.reset();
}

}  // namespace pupil
