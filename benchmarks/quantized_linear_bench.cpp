// y = x W^T of packed weights, alone and with an adapter.

#include "benches.h"
#include "cases.h"
#include "weights.h"

namespace pupil::bench {
namespace {

constexpr int kRank = 16;
// MLX's product of packed weights does some 0.1 GFLOPS on a CPU. For more products than
// this, unpacking the weight and a dense product is what plain MLX does best.
constexpr double kMostPackedProducts = 3e7;

struct Size {
  int in, out, bits, rows;

  double products() const { return 1.0 * in * out * rows; }
  std::string name() const {
    return "linear/q" + std::to_string(bits) + "/" + std::to_string(in) + "x" +
           std::to_string(out) + "/rows:" + std::to_string(rows);
  }
  Work work() const {
    return {
        .dot16 = 2 * products(),
        .bytes = weight_bytes(in, out, bits) + 4.0 * rows * (in + out)};
  }
};

mx::array plain_linear(const mx::array& x, const QuantizedWeight& w) {
  if (1.0 * x.size() * w.packed.shape(0) > kMostPackedProducts)
    return mx::matmul(x, mx::transpose(dequantized(w)));
  return mx::quantized_matmul(
      x, w.packed, w.scales, w.biases, true, w.group_size, w.bits);
}

void add_linear(const Size& s, bool backward) {
  Case c{s.name() + (backward ? "/to_input" : ""), s.work(), {}, {}, true};
  c.ours = [=](int copy) {
    auto op = [w = kept_weight(s.in, s.out, s.bits, copy)](const Arrays& v) {
      return Arrays{quantized_linear(v[0], w)};
    };
    return call_of(op, {numbers({s.rows, s.in})}, backward ? 1 : 0);
  };
  c.fallback = [=](int copy) {
    auto op = [w = plain_weight(s.in, s.out, s.bits, copy)](const Arrays& v) {
      return Arrays{plain_linear(v[0], w)};
    };
    return call_of(op, {numbers({s.rows, s.in})}, backward ? 1 : 0);
  };
  add_case(std::move(c));
}

LowRank low_rank_of(const Arrays& v) {
  return {v[1], v[2], 2.0f};
}

// Forward, or the gradients to x, A and B: each product of the low-rank term gives two.
void add_adapted(const Size& s, bool backward) {
  auto name = s.name() + "/lora" + (backward ? "/gradients" : "");
  Case c{name, s.work(), {}, {}, true};
  c.work.f32 = (backward ? 4.0 : 2.0) * s.rows * kRank * (s.in + s.out);
  c.work.bytes += 4.0 * kRank * (s.in + s.out);
  auto inputs = [=] {
    return Arrays{
        numbers({s.rows, s.in}), numbers({s.in, kRank}), numbers({kRank, s.out})};
  };
  c.ours = [=](int copy) {
    auto op = [w = kept_weight(s.in, s.out, s.bits, copy)](const Arrays& v) {
      return Arrays{quantized_linear(v[0], w, low_rank_of(v))};
    };
    return call_of(op, inputs(), backward ? 3 : 0);
  };
  c.fallback = [=](int copy) {
    auto op = [w = plain_weight(s.in, s.out, s.bits, copy)](const Arrays& v) {
      return Arrays{plain_linear(v[0], w) + low_rank_term(v[0], low_rank_of(v))};
    };
    return call_of(op, inputs(), backward ? 3 : 0);
  };
  add_case(std::move(c));
}

Arrays linears(
    const Arrays& v, const std::vector<QuantizedWeight>& weights, bool as_one) {
  std::vector<LowRank> terms;
  for (size_t i = 1; i < v.size(); i += 2) terms.push_back({v[i], v[i + 1], 2.0f});
  if (as_one) return quantized_linears(v[0], weights, terms);
  Arrays all;
  for (size_t i = 0; i < weights.size(); ++i)
    all.push_back(quantized_linear(v[0], weights[i], terms[i]));
  return all;
}

// Linears of one input with their adapters, as one operation; the fallback is one by
// one. v: x, then each one's A and B.
void add_together(const std::string& name, int rows, const std::vector<int>& outs) {
  Case c{"linears/q4/" + name + "/rows:" + std::to_string(rows) + "/lora", {}, {}, {}};
  for (int out : outs) {
    Size s{kWidth, out, 4, rows};
    c.work.dot16 += s.work().dot16;
    c.work.f32 += 2.0 * rows * kRank * (s.in + s.out);
    c.work.bytes += weight_bytes(s.in, s.out, s.bits) + 4.0 * rows * s.out;
  }
  c.work.bytes += 4.0 * rows * kWidth;
  auto side = [=](bool as_one) {
    return [=](int copy) {
      Arrays inputs = {numbers({rows, kWidth})};
      std::vector<QuantizedWeight> weights;
      for (int out : outs) {
        int seed =
            copy * static_cast<int>(outs.size()) + static_cast<int>(weights.size());
        weights.push_back(kept_weight(kWidth, out, 4, seed));
        inputs.push_back(numbers({kWidth, kRank}));
        inputs.push_back(numbers({kRank, out}));
      }
      return call_of(
          [=](const Arrays& v) { return linears(v, weights, as_one); }, inputs);
    };
  };
  c.ours = side(true);
  c.fallback = side(false);
  add_case(std::move(c));
}

}  // namespace

void add_quantized_linears() {
  for (int rows : {1, 8, 128, 512}) {
    for (bool backward : {false, true}) {
      add_linear({kWidth, kInner, 4, rows}, backward);
      add_linear({kInner, kWidth, 4, rows}, backward);
    }
  }
  for (int rows : {1, 8, 128}) add_linear({kWidth, kVocab, 8, rows}, false);
  add_linear({kWidth, kVocab, 8, 128}, true);
  for (int rows : {1, 8, 512}) add_adapted({kWidth, kInner, 4, rows}, false);
  add_adapted({kWidth, kInner, 4, 512}, true);
  constexpr int kQueries = kHeads * kHeadWidth, kKeys = kKvHeads * kHeadWidth;
  for (int rows : {1, 8, 512}) {
    add_together("qkv", rows, {kQueries, kKeys, kKeys});
    add_together("gate_up", rows, {kInner, kInner});
  }
}

}  // namespace pupil::bench
