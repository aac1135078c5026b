// The kernels of one instruction set, as a table of functions on plain memory.
//
// Each table is compiled in its own object file with that instruction set's flags, from
// the same templates. Nothing here includes the standard library's templates: an inline
// function compiled for AVX-512 must never be the copy that the linker keeps.

#pragma once

#include <stdint.h>

#include "ops/cpu/adamw_types.h"
#include "ops/cpu/attention_types.h"
#include "ops/cpu/code_types.h"
#include "ops/cpu/softmax_types.h"

namespace pupil::cpu {

enum class Format : int { f32, f16, bf16, q4, q8 };

/// Rows of a quantised matrix that lie interleaved in memory (tile_layout.h).
constexpr int kTileRows = 16;

/// Where element `i` of row `row` lies in tiles of rows of `per_row` elements.
constexpr int64_t tiled_at(int64_t row, int64_t i, int64_t per_row) {
  return (row / kTileRows * per_row + i) * kTileRows + row % kTileRows;
}

/// The matrix B [K, N] of a product, as it lies in memory; a quantised one in tiles.
struct MatrixB {
  const void* data;
  Format format;
  bool transposed;     // element (k, n) is at row n, column k: data holds W [N, K]
  int64_t row_stride;  // elements from row to row; 32-bit words of a row if quantised
  const void* scales;  // quantised only, in tiles like the words
  const void* biases;
  Format scale_format;
  int group_size;
  int64_t groups_per_row;
};

/// C [M, N] = A [M, K] B (+ C). A and C are float32 with rows of unit stride.
struct Gemm {
  const float* a;
  int64_t a_stride;
  MatrixB b;
  float* c;
  int64_t c_stride;
  int64_t m, n, k;
  bool accumulate;  // start from C's values, not from 0
};

/// An adapter's share of a product: inner [M, rank] up [rank, N].
struct TermOfRows {
  const float* inner;
  int64_t inner_stride;
  MatrixB up;    // dense
  int64_t rank;  // 0: nothing is added
};

/// C [M, N] = A [M, K] B in whole numbers, and then the term; B is quantised.
struct CodeGemm {
  CodedRows a;
  MatrixB b;
  float* c;
  int64_t c_stride;
  int64_t m, n, k;
  bool accumulate;  // as in Gemm; for dy W
  TermOfRows term;

  bool few_rows() const { return m <= kFewRows && b.transposed; }
};

/// One thread's share of a product: rows [m0, m1), columns [n0, n1).
struct Tile {
  int64_t m0, m1, n0, n1;
};

struct KernelTable {
  const char* name;
  int lanes;           // a tile's n0 is a multiple of this
  int narrow_columns;  // a panel's, for tiles of more than wide_rows rows
  int wide_columns;    // and for others
  int wide_rows;
  void (*gemm_tile)(const Gemm& gemm, const Tile& tile);
  int code_columns;   // a panel's in whole numbers: a tile's n0 is a multiple of it
  int byte_dot_bits;  // few rows that meet codes of up to this are in bytes, not pairs
  /// Fills row m of `rows` from x [k].
  void (*code_row)(const float* x, int64_t k, const CodedRows& rows, int64_t m);
  void (*code_tile)(const CodeGemm& gemm, const Tile& tile);
  /// n float32 from 16-bit or float32 values, and back.
  void (*widen)(const void* from, Format format, float* to, int64_t n);
  void (*narrow)(const float* from, Format format, void* to, int64_t n);
  /// Row `row` of a quantised W [N, width] in tiles.
  void (*unpack_row)(const MatrixB& b, int64_t row, int64_t width, float* out);
  void (*swiglu)(const float* gate, const float* up, float* out, int64_t n);
  void (*swiglu_vjp)(
      const float* gate,
      const float* up,
      const float* dy,
      float* dgate,
      float* dup,
      int64_t n);
  void (*rms_norm)(
      const float* x,
      const float* weight,
      float eps,
      float* out,
      int64_t rows,
      int64_t width);
  void (*rms_norm_vjp)(
      const float* x,
      const float* weight,
      const float* dy,
      float eps,
      float* dx,
      int64_t rows,
      int64_t width);
  /// Heads of one token turned by its angles [width / 2]: forward where `direction` is
  /// 1, back where it is -1. `out` may be `x`.
  void (*rope_heads)(
      const float* x,
      const float* cos,
      const float* sin,
      float direction,
      float* out,
      int64_t heads,
      int64_t width);
  /// A group of a key or value as its codes leave it, in place or not; and its codes,
  /// with the scale returned (ops/kv_codes.h).
  void (*round_kv_group)(const float* x, int64_t n, float* out);
  float (*code_kv_group)(const float* x, int64_t n, int8_t* codes);
  RowSums (*row_sums)(const ScoreRow& row);
  /// sum exp(x - max) of the scores; 0 for those that are -inf.
  float (*row_exp_sum)(const ScoreRow& row, float max);
  /// gradient[i] = -p[i] * inverse_temperature; may be the logits themselves.
  void (*negative_softmax)(const ScoreRow& row, const RowSums& sums, float* gradient);
  /// terms[i] = exp(scores[i] - max) in float32, 0 below e^-87.3.
  void (*exp_terms)(const float* scores, float max, float* terms, int64_t n);
  /// weights[j] += the terms of scores >= limits[j], to one part in 10^5. Returns the
  /// sum of all.
  double (*weigh)(
      const ScoreRow& row,
      float max,
      const float* limits,
      int num_limits,
      double* weights);
  /// maxima[j] of the scores j, j + groups, j + 2 groups, ...; what is left over at the
  /// end of the row belongs to no group.
  void (*group_maxima)(const ScoreRow& row, int groups, float* maxima);
  /// Writes the tokens of at least this score and returns how many they are; `ids` and
  /// `scores` have room for the row.
  int (*collect_tokens)(const ScoreRow& row, float least, int* ids, float* scores);
  void (*adamw)(const AdamWStep& step, const AdamWMemory& at, int64_t n);
  double (*sum_of_squares)(const float* x, int64_t n);
  /// See attention_types.h for `scratch`.
  void (*attention)(const Attention& a, const AttentionTile& tile, float* scratch);
  void (*attention_gradient)(
      const Attention& a,
      const AttentionGradient& g,
      const AttentionTile& tile,
      float* scratch);
};

/// Null where the program was built for another processor family.
const KernelTable* generic_kernels();
const KernelTable* avx2_kernels();
const KernelTable* avx512_kernels();
const KernelTable* avx512_vnni_kernels();
const KernelTable* neon_kernels();
const KernelTable* neon_dot_kernels();
const KernelTable* neon_i8mm_kernels();

}  // namespace pupil::cpu
