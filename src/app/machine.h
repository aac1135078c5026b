// What this machine has, for `pupil doctor` and `pupil --version`.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace pupil {

/// The vector extensions that matter to the kernels, and which kernels are in use:
/// "avx2 fma f16c (kernels: avx2)".
std::string cpu_features_text();

/// The file that MLX was loaded from.
std::string mlx_library_path();

/// Bytes of memory in the machine, and free for a new program within the limits of its
/// control group (a container's); nullopt where the system does not tell.
uint64_t total_memory_bytes();
std::optional<uint64_t> available_memory_bytes();

/// The most memory that this process had since `reset_peak_memory`, in bytes; since its
/// start where the system cannot reset that. On a GPU that of its arrays, by MLX's
/// count.
uint64_t peak_memory_bytes();
void reset_peak_memory();

/// Sets MLX's memory limit: `gigabytes` of 10^9 bytes, 0: on a CPU nine tenths of what
/// this process may take within its control group, on a GPU as MLX has it. Over the
/// limit MLX starts nothing new before something is done, and on a GPU it also gives
/// its cache back. Returns the limit in bytes.
uint64_t limit_memory(double gigabytes);

/// What this process holds now, in bytes; on a GPU its arrays, by MLX's count.
uint64_t held_memory_bytes();

/// The file of this program.
std::string own_executable();

/// "1.5 GB", of 10^9 bytes.
std::string gigabytes_text(uint64_t bytes);

}  // namespace pupil
