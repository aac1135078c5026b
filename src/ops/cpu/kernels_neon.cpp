#include "ops/cpu/kernel_table.h"

#if defined(__aarch64__)
#include "ops/cpu/isa_neon.h"
#include "ops/cpu/make_kernels.h"

namespace pupil::cpu {
const KernelTable* neon_kernels() {
  return make_kernels<Isa>();
}
}  // namespace pupil::cpu
#else
namespace pupil::cpu {
const KernelTable* neon_kernels() {
  return nullptr;
}
}  // namespace pupil::cpu
#endif
