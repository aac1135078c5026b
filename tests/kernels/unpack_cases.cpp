// Rows of a packed table.

#include <cmath>

#include "kernels/kernel_cases.h"
#include "kernels/weight.h"

namespace pupil::kernel_cases {
namespace {

using cpu::Format;

Outcome unpack(const cpu::KernelTable& table, int bits, int group, Format format) {
  Numbers numbers(bits + group);
  int64_t rows = 21, width = 3 * group;
  Weight w(numbers, rows, width, bits, group, format);
  Outcome o;
  o.name = "unpack_row/q" + std::to_string(bits) + "/" + std::to_string(group) + "/" +
           format_name(format);
  o.tolerance = 2e-7;
  o.found.resize(rows * width);
  for (int64_t n = 0; n < rows; ++n) {
    table.unpack_row(w.matrix(true, format), n, width, o.found.data() + n * width);
    for (int64_t k = 0; k < width; ++k) {
      o.expected.push_back(w.value(n, k));
      o.scale.push_back(
          std::abs(w.code(n, k) * w.scale(n, k)) + std::abs(w.bias(n, k)));
    }
  }
  return o;
}

}  // namespace

Outcomes unpack_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (int bits : {4, 8})
    for (int group : {32, 64, 128})
      for (auto format : {Format::f32, Format::f16, Format::bf16})
        all.push_back(unpack(table, bits, group, format));
  return all;
}

}  // namespace pupil::kernel_cases
