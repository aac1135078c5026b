#include "ops/block_codes.h"

namespace pupil {

namespace {

constexpr float kSignedTop = 127.0f, kUnsignedTop = 256.0f;

int blocks_of(int64_t size) {
  return static_cast<int>((size + kCodeBlock - 1) / kCodeBlock);
}

// [blocks, 256], filled up with zeros.
mx::array in_blocks(const mx::array& x) {
  int blocks = blocks_of(static_cast<int64_t>(x.size()));
  int missing = blocks * kCodeBlock - static_cast<int>(x.size());
  auto flat = mx::flatten(x);
  if (missing > 0) flat = mx::pad(flat, std::pair<int, int>{0, missing});
  return mx::reshape(flat, {blocks, kCodeBlock});
}

// Fourth roots of the blocks' numbers over the largest, [blocks, 256], and the largest.
std::pair<mx::array, mx::array> roots_and_scales(const mx::array& magnitudes) {
  auto scales = mx::max(magnitudes, 1, true);
  auto safe = mx::where(scales > 0.0f, scales, mx::array(1.0f));
  return {mx::sqrt(mx::sqrt(magnitudes / safe)), mx::reshape(scales, {-1})};
}

mx::array fourth_power(const mx::array& x) {
  return mx::square(mx::square(x));
}

// Numbers [blocks, 256] as the array of `shape`.
mx::array unblocked(const mx::array& blocks, const mx::Shape& shape) {
  int64_t size = 1;
  for (int n : shape) size *= n;
  auto flat = mx::slice(mx::flatten(blocks), {0}, {static_cast<int>(size)});
  return mx::reshape(flat, shape);
}

mx::array rows_of(const mx::array& codes) {
  return mx::astype(mx::reshape(codes, {-1, kCodeBlock}), mx::float32);
}

}  // namespace

BlockCodes signed_codes(const mx::array& x) {
  auto blocks = in_blocks(x);
  auto [roots, scales] = roots_and_scales(mx::abs(blocks));
  auto q = mx::round(roots * kSignedTop) * mx::sign(blocks) + 128.0f;
  return {mx::flatten(mx::astype(q, mx::uint8)), scales};
}

mx::array from_signed_codes(const BlockCodes& packed, const mx::Shape& shape) {
  auto q = rows_of(packed.codes) - 128.0f;
  auto size = fourth_power(q * (1.0f / kSignedTop)) * mx::sign(q);
  return unblocked(size * mx::expand_dims(packed.scales, 1), shape);
}

BlockCodes unsigned_codes(const mx::array& x) {
  auto [roots, scales] = roots_and_scales(in_blocks(x));
  auto q = mx::maximum(mx::round(roots * kUnsignedTop) - 1.0f, mx::array(0.0f));
  return {mx::flatten(mx::astype(q, mx::uint8)), scales};
}

mx::array from_unsigned_codes(const BlockCodes& packed, const mx::Shape& shape) {
  auto size = fourth_power((rows_of(packed.codes) + 1.0f) * (1.0f / kUnsignedTop));
  return unblocked(size * mx::expand_dims(packed.scales, 1), shape);
}

BlockCodes zero_codes(int64_t size, bool is_signed) {
  int blocks = blocks_of(size);
  return {
      mx::full({blocks * kCodeBlock}, mx::array(is_signed ? 128 : 0), mx::uint8),
      mx::zeros({blocks}, mx::float32)};
}

}  // namespace pupil
