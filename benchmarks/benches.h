// Each adds the cases of its file, on the sizes of SmolLM2-135M.

#pragma once

namespace pupil::bench {

constexpr int kWidth = 576, kInner = 1536, kVocab = 49152;
constexpr int kHeads = 9, kKvHeads = 3, kHeadWidth = 64;

void add_dense_linears();
void add_quantized_linears();
void add_elementwise();
void add_attention();
void add_policy_head();
void add_decode_steps();
void add_optimizer();

}  // namespace pupil::bench
