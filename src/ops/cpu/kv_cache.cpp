#include "ops/cpu/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "ops/cpu/attention_types.h"
#include "ops/cpu/kv_code.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {
namespace {

using Arrays = std::vector<mx::array>;

constexpr int64_t kPiece = 64;  // tokens of a piece of work

// body(begin, end) over pieces of `count` things on all threads.
template <class Body>
void in_pieces(int64_t count, const Body& body) {
  parallel_for(static_cast<int>((count + kPiece - 1) / kPiece), [&](int piece) {
    body(piece * kPiece, std::min(count, (piece + 1) * kPiece));
  });
}

class KvRounded : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;
  const char* name() const override { return "KvRounded"; }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, [](const Arrays& in, Arrays& out) {
      CodedHead head(in[0].shape(-1));
      FloatInput x(in[0]);
      FloatOutput result(out[0]);
      int64_t tokens = static_cast<int64_t>(in[0].size()) / head.width;
      in_pieces(tokens, [&](int64_t begin, int64_t end) {
        int64_t at = begin * head.width;
        round_tokens(x.data() + at, end - begin, head, result.data() + at);
      });
      result.finish();
    });
  }
  Arrays vjp(
      const Arrays&,
      const Arrays& cotangents,
      const std::vector<int>&,
      const Arrays&) override {
    return cotangents;
  }
};

/// x [1, K, P, E] to bytes, by keys' pages or value by value.
class KvCoded : public CpuPrimitive {
 public:
  KvCoded(mx::Stream stream, bool are_keys)
      : CpuPrimitive(stream), are_keys_(are_keys) {}
  const char* name() const override { return "KvCoded"; }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    dispatch(inputs, outputs, [are_keys = are_keys_](const Arrays& in, Arrays& out) {
      FloatInput x(in[0]);
      auto* bytes = out[0].data<uint8_t>();
      if (are_keys) std::memset(bytes, 0, out[0].nbytes());
      int kv_heads = in[0].shape(1);
      parallel_for(kv_heads, [&](int h) {
        int64_t tokens = in[0].shape(2), width = in[0].shape(3);
        auto code = are_keys ? code_keys : code_values;
        code(
            x.data() + h * tokens * width,
            tokens,
            CodedHead(width),
            bytes + h * static_cast<int64_t>(out[0].nbytes()) / kv_heads);
      });
    });
  }

 private:
  bool are_keys_;

  static void code_keys(
      const float* x, int64_t tokens, const CodedHead& head, uint8_t* to) {
    int64_t page = head.token_bytes() * kPageTokens;
    for (int64_t t = 0; t < tokens; ++t)
      code_key(x + t * head.width, head, t % kPageTokens, to + t / kPageTokens * page);
  }
  static void code_values(
      const float* x, int64_t tokens, const CodedHead& head, uint8_t* to) {
    for (int64_t t = 0; t < tokens; ++t)
      code_value(x + t * head.width, head, to + t * head.token_bytes());
  }
};

mx::array coded(const mx::array& x, bool are_keys, const mx::Shape& shape) {
  auto primitive = std::make_shared<KvCoded>(current_stream(), are_keys);
  return mx::array(shape, mx::uint8, std::move(primitive), {x});
}

}  // namespace

mx::array kv_rounded(const mx::array& x) {
  auto primitive = std::make_shared<KvRounded>(current_stream());
  return mx::array(x.shape(), x.dtype(), std::move(primitive), {x});
}

mx::array coded_keys(const mx::array& keys) {
  int tokens = static_cast<int>(kPageTokens);
  int pages = (keys.shape(2) + tokens - 1) / tokens;
  auto bytes = static_cast<int>(CodedHead(keys.shape(3)).token_bytes());
  return coded(keys, true, {1, keys.shape(1), pages, bytes * tokens});
}

mx::array coded_values(const mx::array& values) {
  auto bytes = static_cast<int>(CodedHead(values.shape(3)).token_bytes());
  return coded(values, false, {1, values.shape(1), values.shape(2), bytes});
}

}  // namespace pupil::cpu
