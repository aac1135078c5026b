#include "ops/cpu/arrays.h"

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {
namespace {

constexpr int64_t kPiece = 16 * 1024;  // elements that a thread converts at a time

Format format_of(const mx::array& x) {
  return float_format(x, "CPU kernel");
}

const char* bytes_of(const mx::array& x) {
  return x.data<char>();
}

// pieces(begin, count) over [0, size) on all threads.
template <class Piece>
void in_pieces(int64_t size, const Piece& piece) {
  auto count = static_cast<int>((size + kPiece - 1) / kPiece);
  parallel_for(count, [&](int i) {
    int64_t begin = i * kPiece;
    piece(begin, std::min(kPiece, size - begin));
  });
}

void widen_contiguous(const mx::array& x, float* to) {
  auto format = format_of(x);
  in_pieces(static_cast<int64_t>(x.size()), [&](int64_t begin, int64_t count) {
    const char* from = bytes_of(x) + begin * static_cast<int64_t>(x.itemsize());
    kernels().widen(from, format, to + begin, count);
  });
}

// Where row `row` of the last axis begins, in elements.
int64_t row_offset(const mx::array& x, int64_t row) {
  int64_t offset = 0;
  for (int axis = static_cast<int>(x.ndim()) - 2; axis >= 0; --axis) {
    offset += row % x.shape(axis) * x.strides(axis);
    row /= x.shape(axis);
  }
  return offset;
}

float element(const void* from, Format format) {
  float value;
  if (format == Format::f32) return *static_cast<const float*>(from);
  kernels().widen(from, format, &value, 1);
  return value;
}

void widen_strided(const mx::array& x, float* to) {
  int64_t width = x.ndim() == 0 ? 1 : x.shape(-1);
  int64_t step = x.ndim() == 0 ? 1 : x.strides(-1);
  auto format = format_of(x);
  auto itemsize = static_cast<int64_t>(x.itemsize());
  int64_t rows = static_cast<int64_t>(x.size()) / width;
  int64_t per_tile = std::max<int64_t>(1, kPiece / width);
  parallel_for(static_cast<int>((rows + per_tile - 1) / per_tile), [&](int tile) {
    for (int64_t r = tile * per_tile; r < std::min(rows, (tile + 1) * per_tile); ++r) {
      const char* from = bytes_of(x) + row_offset(x, r) * itemsize;
      if (step == 1) {
        kernels().widen(from, format, to + r * width, width);
        continue;
      }
      for (int64_t i = 0; i < width; ++i)
        to[r * width + i] = element(from + i * step * itemsize, format);
    }
  });
}

}  // namespace

bool on_cpu() {
  return mx::default_device() == mx::Device::cpu;
}

mx::Stream current_stream() {
  return mx::default_stream(mx::default_device());
}

Format float_format(const mx::array& x, const char* where) {
  if (x.dtype() == mx::float32) return Format::f32;
  if (x.dtype() == mx::float16) return Format::f16;
  if (x.dtype() == mx::bfloat16) return Format::bf16;
  std::ostringstream message;
  message << "[" << where << "] expected float32, float16 or bfloat16, got "
          << x.dtype();
  throw std::invalid_argument(message.str());
}

void allocate(mx::array& out) {
  out.set_data(mx::allocator::malloc(out.nbytes()));
}

FloatInput::FloatInput(const mx::array& x) {
  if (x.flags().row_contiguous && x.dtype() == mx::float32) {
    data_ = x.data<float>();
    return;
  }
  copy_ = std::make_unique_for_overwrite<float[]>(x.size());
  data_ = copy_.get();
  if (x.size() == 0) return;
  if (x.flags().row_contiguous)
    widen_contiguous(x, copy_.get());
  else
    widen_strided(x, copy_.get());
}

FloatOutput::FloatOutput(mx::array& out) : out_(out) {
  if (out.dtype() == mx::float32) {
    data_ = out.data<float>();
    return;
  }
  copy_ = std::make_unique_for_overwrite<float[]>(out.size());
  data_ = copy_.get();
}

void FloatOutput::finish() {
  if (!copy_) return;
  auto format = format_of(out_);
  auto itemsize = static_cast<int64_t>(out_.itemsize());
  in_pieces(static_cast<int64_t>(out_.size()), [&](int64_t begin, int64_t count) {
    char* to = out_.data<char>() + begin * itemsize;
    kernels().narrow(data_ + begin, format, to, count);
  });
}

std::vector<mx::array> CpuPrimitive::weak_copies(const std::vector<mx::array>& arrays) {
  std::vector<mx::array> copies;
  copies.reserve(arrays.size());
  for (const auto& a : arrays) copies.push_back(mx::array::unsafe_weak_copy(a));
  return copies;
}

void CpuPrimitive::eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) {
  throw std::runtime_error(std::string("[") + name() + "] runs on the CPU only");
}

}  // namespace pupil::cpu
