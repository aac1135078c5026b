// MLX arrays as the kernels want them: rows of contiguous float32.

#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "mlx/backend/cpu/encoder.h"
#include "mlx/mlx.h"
#include "mlx/primitives.h"
#include "ops/cpu/kernel_table.h"
#include "ops/cpu/operation_times.h"

namespace pupil::cpu {

namespace mx = mlx::core;

/// Whether new operations go to the CPU.
bool on_cpu();

/// The stream of new operations.
mx::Stream current_stream();

/// f32, f16 or bf16. Throws std::invalid_argument naming `where` for any other type.
Format float_format(const mx::array& x, const char* where);

/// Gives `out` memory of its own, in row order.
void allocate(mx::array& out);

/// Read access to an array's values as contiguous float32 in row order: the array's own
/// memory where it lies so, else a converted copy that lives as long as this object.
/// Made inside a dispatched task, when the values exist.
class FloatInput {
 public:
  explicit FloatInput(const mx::array& x);
  const float* data() const { return data_; }

 private:
  std::unique_ptr<float[]> copy_;
  const float* data_;
};

/// The float32 buffer a kernel writes, which is the array's own memory for a float32
/// array; else finish() converts it into the array.
class FloatOutput {
 public:
  explicit FloatOutput(mx::array& out);
  float* data() { return data_; }
  void finish();

 private:
  mx::array& out_;
  std::unique_ptr<float[]> copy_;
  float* data_;
};

/// An operation that only CPU streams see.
class CpuPrimitive : public mx::Primitive {
 public:
  using mx::Primitive::Primitive;
  void eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) override;

 protected:
  /// Allocates the outputs and queues body(inputs, outputs) on the stream.
  template <class Body>
  void dispatch(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs,
      Body body) {
    for (auto& out : outputs) allocate(out);
    queue(inputs, outputs, std::move(body));
  }

  /// The same for outputs that have their memory.
  template <class Body>
  void queue(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs,
      Body body) {
    auto task = [in = weak_copies(inputs),
                 out = weak_copies(outputs),
                 body,
                 label = name()]() mutable {
      OperationTimer timer(label);
      body(in, out);
    };
    mx::cpu::get_command_encoder(stream()).dispatch(std::move(task));
  }

 private:
  // References that do not hold the graph; MLX keeps the buffers until the task ran.
  static std::vector<mx::array> weak_copies(const std::vector<mx::array>& arrays);
};

}  // namespace pupil::cpu
