#include "ops/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "ops/cpu/isa_avx512.h"
#include "ops/cpu/make_kernels.h"

namespace pupil::cpu {
const KernelTable* avx512_kernels() {
  return make_kernels<Isa>();
}
}  // namespace pupil::cpu
#else
namespace pupil::cpu {
const KernelTable* avx512_kernels() {
  return nullptr;
}
}  // namespace pupil::cpu
#endif
