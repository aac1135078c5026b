// Decode attention over keys and values in 8 bits beside that over the numbers that
// they stand for, by the same table: every bit is the same.

#include <algorithm>
#include <cstring>

#include "kernels/kernel_cases.h"
#include "kernels/numbers.h"

namespace pupil::kernel_cases {
namespace {

constexpr int64_t kPage = cpu::kPageTokens;

struct Case {
  int64_t heads, kv_heads, prefix, width, group;
  std::vector<int> own;  // of each row

  int64_t rows() const { return static_cast<int64_t>(own.size()); }
  int64_t capacity() const { return *std::max_element(own.begin(), own.end()); }
  int64_t token_bytes() const { return cpu::coded_bytes(width, group); }
  int64_t page_bytes() const { return token_bytes() * kPage; }
  std::string name() const {
    std::string text = "coded_attention";
    for (int64_t x : {rows(), heads, kv_heads, prefix, capacity(), width, group})
      text += "/" + std::to_string(x);
    return text;
  }
};

/// Some coded tokens of one head.
struct Tokens {
  int64_t width, group;
  std::vector<int8_t> codes;
  FormatValues scales;

  Tokens(Numbers& numbers, const Case& c, int64_t count)
      : width(c.width),
        group(c.group),
        scales(numbers, count * c.width / c.group, cpu::Format::bf16) {
    for (int64_t i = 0; i < count * width; ++i)
      codes.push_back(static_cast<int8_t>(numbers.bits() % 255) - 127);
  }

  float value(int64_t t, int64_t e) const {
    auto scale = scales.numbers[(t * width + e) / group];
    return static_cast<float>(codes[t * width + e] * scale / 64);
  }
  void put(int64_t t, int64_t stride, uint8_t* code_to, uint8_t* scale_to) const {
    for (int64_t e = 0; e < width; ++e)
      code_to[e * stride] = static_cast<uint8_t>(codes[t * width + e]);
    for (int64_t g = 0; g < width / group; ++g) {
      auto bits =
          static_cast<uint16_t>(scales.halves[t * width / group + g] - (6 << 7));
      std::memcpy(scale_to + 2 * g * stride, &bits, sizeof bits);  // over 64
    }
  }
  void put_key(int64_t t, int64_t place, uint8_t* page) const {
    put(t, kPage, page + place, page + width * kPage + 2 * place);
  }
  void put_value(int64_t t, uint8_t* to) const { put(t, 1, to, to + width); }
};

/// Tokens of all heads of some rows, as floats [rows, heads, tokens, width] too.
struct Heads {
  std::vector<Tokens> all;  // [rows * kv_heads]
  std::vector<float> floats;
  cpu::HeadView view{};

  Heads(Numbers& numbers, const Case& c, int64_t rows, int64_t tokens) {
    for (int64_t i = 0; i < rows * c.kv_heads; ++i) {
      all.emplace_back(numbers, c, tokens);
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t e = 0; e < c.width; ++e) floats.push_back(all[i].value(t, e));
    }
    int64_t batch = rows > 1 ? c.kv_heads * tokens * c.width : 0;
    view = {floats.data(), batch, tokens * c.width, c.width};
  }
};

struct Inputs {
  Numbers numbers;
  Heads prefix_k, prefix_v, k, v;
  std::vector<float> q;

  explicit Inputs(const Case& c)
      : numbers(c.prefix + c.width),
        prefix_k(numbers, c, 1, c.prefix),
        prefix_v(numbers, c, 1, c.prefix),
        k(numbers, c, c.rows(), c.capacity()),
        v(numbers, c, c.rows(), c.capacity()),
        q(numbers.values(c.rows() * c.heads * c.width)) {}

  cpu::Attention attention(const Case& c, float* out) const {
    cpu::Attention a{};
    a.q = {q.data(), c.heads * c.width, c.width, c.width};
    a.lengths = c.own.data();
    a.heads = c.heads;
    a.kv_heads = c.kv_heads;
    a.queries = 1;
    a.prefix = c.prefix;
    a.width = c.width;
    a.scale = 0.2f;
    a.layout = {c.heads, 1, 1};
    a.out = out;
    return a;
  }
};

/// The same coded, as `Attention` reads it.
struct Coded {
  std::vector<uint8_t> k, v;                     // of the prefix
  std::vector<std::vector<float>> memory;        // of the rows' pages
  std::vector<std::vector<const float*>> pages;  // [rows]
  std::vector<const float* const*> rows;

  Coded(const Case& c, const Inputs& in) {
    int64_t count = (c.prefix + kPage - 1) / kPage;
    k.resize(c.kv_heads * count * c.page_bytes());
    v.resize(c.kv_heads * c.prefix * c.token_bytes());
    for (int64_t h = 0; h < c.kv_heads; ++h)
      for (int64_t t = 0; t < c.prefix; ++t) {
        auto* page = k.data() + (h * count + t / kPage) * c.page_bytes();
        in.prefix_k.all[h].put_key(t, t % kPage, page);
        in.prefix_v.all[h].put_value(
            t, v.data() + (h * c.prefix + t) * c.token_bytes());
      }
    for (int64_t b = 0; b < c.rows(); ++b) add_row(c, in, b);
    for (const auto& row : pages) rows.push_back(row.data());
  }

  void add_row(const Case& c, const Inputs& in, int64_t b) {
    int64_t first = c.prefix / kPage, last = (c.prefix + c.own[b] - 1) / kPage;
    auto& row = pages.emplace_back();
    for (int64_t p = first; p <= last; ++p) {
      memory.emplace_back(cpu::coded_page_floats(c.kv_heads, c.width, c.group));
      row.push_back(memory.back().data());
    }
    for (int64_t t = 0; t < c.own[b]; ++t) {
      int64_t page = (c.prefix + t) / kPage - first, place = (c.prefix + t) % kPage;
      auto* keys = reinterpret_cast<uint8_t*>(const_cast<float*>(row[page]));
      auto* values = keys + c.kv_heads * c.page_bytes();
      for (int64_t h = 0; h < c.kv_heads; ++h) {
        in.k.all[b * c.kv_heads + h].put_key(t, place, keys + h * c.page_bytes());
        in.v.all[b * c.kv_heads + h].put_value(
            t, values + (h * kPage + place) * c.token_bytes());
      }
    }
  }
};

// Two rows share a tile.
void run(const Case& c, const cpu::KernelTable& table, const cpu::Attention& a) {
  std::vector<float> scratch(
      cpu::attention_scratch(2 * c.heads / c.kv_heads, c.width, true), NAN);
  for (int64_t b = 0; b < c.rows(); b += 2)
    for (int64_t h = 0; h < c.kv_heads; ++h)
      table.attention(a, {b, std::min(b + 2, c.rows()), h, 0, 1}, scratch.data());
}

Outcome outcome(const cpu::KernelTable& table, const Case& c) {
  Inputs in(c);
  Coded coded(c, in);
  int64_t count = c.rows() * c.heads * c.width;
  std::vector<float> expected(count);
  Outcome o{c.name(), std::vector<float>(count), {}, {}, 0, false};
  auto plain = in.attention(c, expected.data());
  plain.prefix_k = in.prefix_k.view;
  plain.prefix_v = in.prefix_v.view;
  plain.k = in.k.view;
  plain.v = in.v.view;
  run(c, table, plain);
  auto a = in.attention(c, o.found.data());
  a.pages = coded.rows.data();
  a.turned = true;
  a.group = c.group;
  int64_t heads = c.kv_heads;
  a.coded = {
      coded.k.data(),
      coded.v.data(),
      static_cast<int64_t>(coded.k.size()) / heads,
      static_cast<int64_t>(coded.v.size()) / heads};
  run(c, table, a);
  o.expected.assign(expected.begin(), expected.end());
  o.scale.assign(count, 1);
  return o;
}

}  // namespace

Outcomes coded_attention_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (const Case& c :
       {Case{1, 1, 1, 4, 4, {1}},
        {9, 3, 128, 64, 32, {64, 1, 33}},
        {4, 2, 75, 32, 32, {9, 70, 21, 22}},  // a block in the prefix and in two pages
        {6, 2, 40, 80, 80, {5, 100}},
        {2, 2, 31, 64, 32, {1, 2, 3}}})
    all.push_back(outcome(table, c));
  return all;
}

}  // namespace pupil::kernel_cases
