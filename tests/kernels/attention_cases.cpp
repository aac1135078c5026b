// Attention and its gradient beside softmax in double. Sums over keys run lane by lane:
// their bits are an instruction set's own.

#include <algorithm>

#include "kernels/kernel_cases.h"
#include "kernels/numbers.h"

namespace pupil::kernel_cases {
namespace {

struct Case {
  int64_t batches, heads, kv_heads, queries, prefix, own, width;

  int64_t group() const { return heads / kv_heads; }
  int64_t keys() const { return prefix + own; }
  int64_t seen(int64_t query) const { return keys() - queries + query + 1; }
  int64_t query_index(int64_t b, int64_t h, int64_t t) const {
    return (b * heads + h) * queries + t;
  }
  int64_t key_index(int64_t b, int64_t h, int64_t key) const {
    return (b * kv_heads + h) * keys() + key;
  }
  std::string name(const char* what) const {
    std::string text = what;
    for (int64_t x : {batches, heads, kv_heads, queries, prefix, own, width})
      text += "/" + std::to_string(x);
    return text;
  }
};

/// A [B, heads, tokens, E] tensor whose tokens lie apart.
struct Heads {
  int64_t heads, tokens, width;
  std::vector<float> data;

  Heads(Numbers& numbers, int64_t b, int64_t h, int64_t t, int64_t e)
      : heads(h), tokens(t), width(e), data(numbers.values(b * h * t * (e + 3) + 1)) {}

  cpu::HeadView view() const {
    int64_t token = width + 3;
    return {data.data(), token * tokens * heads, token * tokens, token};
  }
  const float* at(int64_t b, int64_t h, int64_t t) const {
    return &data[((b * heads + h) * tokens + t) * (width + 3)];
  }
};

struct Inputs {
  Case c;
  Numbers numbers;
  Heads q, prefix_k, prefix_v, k, v;

  explicit Inputs(const Case& from)
      : c(from),
        numbers(from.queries + from.own),
        q(numbers, c.batches, c.heads, c.queries, c.width),
        prefix_k(numbers, 1, c.kv_heads, c.prefix, c.width),
        prefix_v(numbers, 1, c.kv_heads, c.prefix, c.width),
        k(numbers, c.batches, c.kv_heads, c.own, c.width),
        v(numbers, c.batches, c.kv_heads, c.own, c.width) {}

  const float* key(int64_t b, int64_t h, int64_t i) const {
    return i < c.prefix ? prefix_k.at(0, h, i) : k.at(b, h, i - c.prefix);
  }
  const float* value(int64_t b, int64_t h, int64_t i) const {
    return i < c.prefix ? prefix_v.at(0, h, i) : v.at(b, h, i - c.prefix);
  }
  float scale() const { return 1.5f / std::sqrt(static_cast<float>(c.width)); }

  cpu::Attention attention(float* out, float* lse) const {
    cpu::Attention a{};
    a.q = q.view();
    a.prefix_k = prefix_k.view();
    a.prefix_v = prefix_v.view();
    a.prefix_k.batch = a.prefix_v.batch = 0;
    a.k = k.view();
    a.v = v.view();
    a.heads = c.heads;
    a.kv_heads = c.kv_heads;
    a.queries = c.queries;
    a.prefix = c.prefix;
    a.own = c.own;
    a.width = c.width;
    a.scale = scale();
    a.layout = {c.heads * c.queries, c.queries, 1};
    a.out = out;
    a.lse = lse;
    return a;
  }
};

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// The weights of the keys that one query sees, and its log-sum.
struct Softmax {
  std::vector<double> weights;
  double lse = 0;

  Softmax(const Inputs& in, int64_t b, int64_t h, int64_t t) {
    double sum = 0, largest = -INFINITY;
    for (int64_t i = 0; i < in.c.seen(t); ++i) {
      const float* key = in.key(b, h / in.c.group(), i);
      weights.push_back(in.scale() * dot(in.q.at(b, h, t), key, in.c.width));
      largest = std::max(largest, weights.back());
    }
    for (auto& w : weights) sum += w = std::exp(w - largest);
    for (auto& w : weights) w /= sum;
    lse = largest + std::log(sum);
  }
};

// body(b, h, t) for each query of each head.
template <class Body>
void for_queries(const Case& c, const Body& body) {
  for (int64_t b = 0; b < c.batches; ++b)
    for (int64_t h = 0; h < c.heads; ++h)
      for (int64_t t = 0; t < c.queries; ++t) body(b, h, t);
}

// Two rows share a tile where they have one query each; else the queries are split.
void run(const Case& c, const cpu::KernelTable& table, const cpu::Attention& a) {
  int64_t rows = c.queries == 1 ? 2 : 1, step = (c.queries + 1) / 2;
  std::vector<float> scratch(
      cpu::attention_scratch(rows * step * c.group(), c.width), NAN);
  for (int64_t b = 0; b < c.batches; b += rows)
    for (int64_t h = 0; h < c.kv_heads; ++h)
      for (int64_t t = 0; t < c.queries; t += step)
        table.attention(
            a,
            {b, std::min(b + rows, c.batches), h, t, std::min(t + step, c.queries)},
            scratch.data());
}

Outcome forward(const cpu::KernelTable& table, const Case& c) {
  Inputs in(c);
  int64_t count = c.batches * c.heads * c.queries, values = count * c.width;
  Outcome o{c.name("attention"), {}, {}, {}, 3e-6, false};
  o.found.resize(values + count);
  o.expected.resize(values + count);
  o.scale.assign(values + count, 2);  // the largest value
  run(c, table, in.attention(o.found.data(), o.found.data() + values));
  for_queries(c, [&](int64_t b, int64_t h, int64_t t) {
    Softmax s(in, b, h, t);
    int64_t row = c.query_index(b, h, t);
    o.expected[values + row] = s.lse;
    for (int64_t i = 0; i < c.seen(t); ++i)
      for (int64_t e = 0; e < c.width; ++e)
        o.expected[row * c.width + e] +=
            s.weights[i] * in.value(b, h / c.group(), i)[e];
  });
  return o;
}

/// dq, dk and dv behind each other.
struct Gradient {
  std::vector<double> all;
  double *dq, *dk, *dv;

  explicit Gradient(const Case& c) {
    int64_t queries = c.batches * c.heads * c.queries * c.width;
    int64_t keys = c.batches * c.kv_heads * c.keys() * c.width;
    all.resize(queries + 2 * keys);
    dq = all.data();
    dk = dq + queries;
    dv = dk + keys;
  }
};

void add_gradient(
    const Inputs& in, const float* dout, int64_t b, int64_t h, int64_t t, Gradient& g) {
  const auto& c = in.c;
  Softmax s(in, b, h, t);
  int64_t head = h / c.group(), row = c.query_index(b, h, t) * c.width;
  std::vector<double> dweights;
  double mean = 0;
  for (int64_t i = 0; i < c.seen(t); ++i) {
    dweights.push_back(dot(dout + row, in.value(b, head, i), c.width));
    mean += s.weights[i] * dweights[i];
  }
  for (int64_t i = 0; i < c.seen(t); ++i) {
    double dscore = in.scale() * s.weights[i] * (dweights[i] - mean);
    int64_t key = c.key_index(b, head, i) * c.width;
    for (int64_t e = 0; e < c.width; ++e) {
      g.dq[row + e] += dscore * in.key(b, head, i)[e];
      g.dk[key + e] += dscore * in.q.at(b, h, t)[e];
      g.dv[key + e] += s.weights[i] * dout[row + e];
    }
  }
}

Outcome backward(const cpu::KernelTable& table, const Case& c) {
  Inputs in(c);
  int64_t count = c.batches * c.heads * c.queries;
  std::vector<float> out(count * c.width), lse(count);
  auto a = in.attention(out.data(), lse.data());
  run(c, table, a);
  auto dout = in.numbers.values(count * c.width);
  Gradient g(c);
  for_queries(c, [&](int64_t b, int64_t h, int64_t t) {
    add_gradient(in, dout.data(), b, h, t, g);
  });
  Outcome o{c.name("attention_gradient"), {}, g.all, {}, 1e-5, false};
  o.found.resize(g.all.size());
  o.scale.assign(g.all.size(), 4);  // dout times a value
  float* dq = o.found.data();
  float *dk = dq + (g.dk - g.dq), *dv = dq + (g.dv - g.dq);
  int64_t step = (c.queries + 1) / 2;
  std::vector<float> scratch(
      cpu::attention_gradient_scratch(step * c.group(), c.width), NAN);
  for (int64_t b = 0; b < c.batches; ++b)
    for (int64_t h = 0; h < c.kv_heads; ++h) {
      int64_t keys = c.key_index(b, h, 0) * c.width;
      cpu::AttentionGradient to{dout.data(), dq, dk + keys, dv + keys};
      for (int64_t t = 0; t < c.queries; t += step)
        table.attention_gradient(
            a, to, {b, b + 1, h, t, std::min(t + step, c.queries)}, scratch.data());
    }
  return o;
}

}  // namespace

Outcomes attention_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (const Case& c :
       {Case{1, 1, 1, 1, 0, 1, 4},
        {3, 4, 2, 1, 70, 9, 16},  // a decode step: a shared prefix, an own tail
        {2, 6, 2, 5, 0, 5, 20},   // all of a row's own
        {2, 3, 1, 7, 130, 7, 24},
        {1, 2, 2, 66, 3, 80, 33},
        {2, 9, 3, 1, 128, 64, 64}}) {
    all.push_back(forward(table, c));
    all.push_back(backward(table, c));
  }
  return all;
}

}  // namespace pupil::kernel_cases
