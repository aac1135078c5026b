#include "ops/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "ops/cpu/isa_avx512_vnni.h"
#include "ops/cpu/make_kernels.h"

namespace pupil::cpu {
const KernelTable* avx512_vnni_kernels() {
  return make_kernels<IsaVnni>();
}
}  // namespace pupil::cpu
#else
namespace pupil::cpu {
const KernelTable* avx512_vnni_kernels() {
  return nullptr;
}
}  // namespace pupil::cpu
#endif
