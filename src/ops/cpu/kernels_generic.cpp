#include "ops/cpu/isa_generic.h"
#include "ops/cpu/make_kernels.h"

namespace pupil::cpu {
const KernelTable* generic_kernels() {
  return make_kernels<Isa>();
}
}  // namespace pupil::cpu
