// Rows as whole numbers, and their products with quantised weights: code by code, from
// the formulas of code_types.h.

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/kernel_cases.h"
#include "kernels/numbers.h"
#include "kernels/weight.h"
#include "ops/cpu/code_order.h"

namespace pupil::kernel_cases {
namespace {

using cpu::CodeOrder;
using cpu::Format;

/// CodedRows with their memory.
struct Rows {
  std::vector<int16_t> codes;
  std::vector<float> scales, sums;
  cpu::CodedRows shape{};  // its pointers are those of view()

  Rows(int64_t m, int64_t k, int group, float limit, CodeOrder order) {
    shape.rows = m;
    shape.groups = (k + group - 1) / group;
    shape.group_size = group;
    shape.limit = limit;
    shape.order = order;
    codes.resize(m * shape.stride());
    scales.resize(m * shape.groups);
    sums.resize(m * shape.groups);
  }

  cpu::CodedRows view() {
    auto rows = shape;
    rows.codes = codes.data();
    rows.scales = scales.data();
    rows.sums = sums.data();
    return rows;
  }

  // Of the natural order.
  double value(int64_t m, int64_t k) const {
    double code = codes[m * shape.stride() + k];
    return code * scales[shape.at(m, k / shape.group_size)];
  }
};

// The definition, in the natural order.
void code_plainly(const float* x, int64_t k, Rows& rows, int64_t m) {
  const auto& v = rows.shape;
  for (int64_t g = 0; g < v.groups; ++g) {
    auto at = [&](int i) {
      int64_t from = g * v.group_size + i;
      return from < k ? x[from] : 0.0f;
    };
    float top = 0, sum = 0;
    for (int i = 0; i < v.group_size; ++i) top = std::max(top, std::abs(at(i)));
    float inverse = top > 1e-30f ? v.limit / top : 0.0f;
    for (int i = 0; i < v.group_size; ++i) {
      float code = std::nearbyint(at(i) * inverse);
      rows.codes[m * v.stride() + g * v.group_size + i] = static_cast<int16_t>(code);
      sum += code;
    }
    rows.scales[v.at(m, g)] = top / v.limit;
    rows.sums[v.at(m, g)] = sum * (top / v.limit);
  }
}

// Eight codes in the given order, as 16-bit words (code_rows_kernel.h).
std::vector<int16_t> ordered(const int16_t* codes, CodeOrder order) {
  auto low = [&](int i) { return static_cast<int>(static_cast<int8_t>(codes[i])); };
  auto bytes = [&](std::vector<int> from) {  // of four codes: high ones, then low ones
    std::vector<int8_t> row;
    for (size_t i = 0; i < from.size(); i += 4) {
      for (int j = 0; j < 4; ++j)
        row.push_back(
            static_cast<int8_t>((codes[from[i + j]] - low(from[i + j])) / 256));
      for (int j = 0; j < 4; ++j) row.push_back(static_cast<int8_t>(low(from[i + j])));
    }
    std::vector<int16_t> words(8);
    std::memcpy(words.data(), row.data(), 16);
    return words;
  };
  auto pairs = [&](std::vector<int> from) {
    std::vector<int16_t> words;
    for (int i : from) words.push_back(codes[i]);
    return words;
  };
  switch (order) {
    case CodeOrder::natural:
      return pairs({0, 1, 2, 3, 4, 5, 6, 7});
    case CodeOrder::pairs4:
      return pairs({0, 4, 1, 5, 2, 6, 3, 7});
    case CodeOrder::pairs8:
      return pairs({0, 2, 1, 3, 4, 6, 5, 7});
    case CodeOrder::bytes4:
      return bytes({0, 2, 4, 6, 1, 3, 5, 7});
    case CodeOrder::bytes8:
      return bytes({0, 1, 2, 3, 4, 5, 6, 7});
  }
  return {};
}

// codes, scales and sums as one list.
template <class T>
std::vector<T> listed(const Rows& rows) {
  std::vector<T> all(rows.codes.begin(), rows.codes.end());
  all.insert(all.end(), rows.scales.begin(), rows.scales.end());
  all.insert(all.end(), rows.sums.begin(), rows.sums.end());
  return all;
}

Outcome coded_row(
    const cpu::KernelTable& table, CodeOrder order, int group, int64_t k) {
  Numbers numbers(k);
  auto x = numbers.values(k);
  for (int64_t i = 0; i < std::min<int64_t>(k, group); ++i) x[i] = i == 3 ? -1e4f : 0;
  for (int64_t i = group; i < std::min<int64_t>(k, 2 * group); ++i) x[i] = 0;
  Rows rows(1, k, group, cpu::kForwardLimit, order);
  auto plain = rows;
  table.code_row(x.data(), k, rows.view(), 0);
  code_plainly(x.data(), k, plain, 0);
  for (size_t i = 0; i < plain.codes.size(); i += 8) {
    auto words = ordered(&plain.codes[i], order);
    std::copy(words.begin(), words.end(), &plain.codes[i]);
  }
  Outcome o;
  o.name = "code_row/" + std::to_string(static_cast<int>(order)) + "/" +
           std::to_string(group) + "/" + std::to_string(k);
  o.found = listed<float>(rows);
  o.expected = listed<double>(plain);
  o.scale.assign(o.found.size(), 1);
  return o;
}

// A group with a value that is not finite has no scale; its neighbours keep theirs.
Outcome unfit_row(const cpu::KernelTable& table, float bad) {
  Numbers numbers(1);
  auto x = numbers.values(96);
  Rows rows(1, 96, 32, cpu::kForwardLimit, CodeOrder::pairs4), plain = rows;
  code_plainly(x.data(), 96, plain, 0);
  x[40] = bad;
  table.code_row(x.data(), 96, rows.view(), 0);
  Outcome o;
  o.name = "code_row/unfit/" + std::to_string(bad);
  o.found = rows.scales;
  o.expected = {plain.scales[0], NAN, plain.scales[2]};
  o.scale.assign(3, 1);
  return o;
}

struct Case {
  int64_t m, out, in;
  int bits, group;
  Format format;
  int64_t rank = 0;  // of an adapter's term

  std::string name(const char* what) const {
    return std::string(what) + "/q" + std::to_string(bits) + "/" +
           std::to_string(group) + "/" + format_name(format) + "/" + std::to_string(m) +
           "x" + std::to_string(out) + "x" + std::to_string(in) + "/rank" +
           std::to_string(rank);
  }
};

/// An adapter's term: what it adds, and its definition.
struct Term {
  std::vector<float> inner, up;  // [m, rank + 3], [rank, n], or [n, rank] transposed
  int64_t rank, n;
  bool transposed;

  Term(Numbers& numbers, int64_t m, int64_t rank, int64_t n, bool transposed)
      : inner(numbers.values(m * (rank + 3))),
        up(numbers.values(rank * n)),
        rank(rank),
        n(n),
        transposed(transposed) {}

  cpu::TermOfRows view() const {
    cpu::MatrixB b{};
    b.data = up.data();
    b.format = Format::f32;
    b.transposed = transposed;
    b.row_stride = transposed ? rank : n;
    return {inner.data(), rank + 3, b, rank};
  }

  void add_to(Outcome& o, int64_t m) const {
    for (int64_t c = 0; c < n; ++c)
      for (int64_t r = 0; r < rank; ++r) {
        double a = inner[m * (rank + 3) + r],
               b = up[transposed ? c * rank + r : r * n + c];
        o.expected[m * n + c] += a * b;
        o.scale[m * n + c] += std::abs(a * b);
      }
  }
};

void run_tiles(const cpu::KernelTable& table, const cpu::CodeGemm& g) {
  int64_t width = table.code_columns;
  int64_t column = std::min(g.n, (g.n / 2 + width - 1) / width * width);
  int64_t row = g.few_rows() ? g.m : g.m / 2;
  for (auto [m0, m1] : {std::pair{int64_t{0}, row}, {row, g.m}})
    for (auto [n0, n1] : {std::pair{int64_t{0}, column}, {column, g.n}})
      if (m0 < m1 && n0 < n1) table.code_tile(g, {m0, m1, n0, n1});
}

// y = x W^T from the plain codes of x.
void expect_forward(const Rows& x, const Weight& w, int64_t m, Outcome& o) {
  for (int64_t n = 0; n < w.out; ++n) {
    double sum = 0, magnitude = 1e-30;
    for (int64_t k = 0; k < w.in; ++k) {
      double value = x.value(m, k);
      sum += value * w.value(n, k);
      magnitude += std::abs(value) *
                   (std::abs(w.code(n, k) * w.scale(n, k)) + std::abs(w.bias(n, k)));
    }
    o.expected.push_back(sum);
    o.scale.push_back(magnitude);
  }
}

Outcome forward(const cpu::KernelTable& table, const Case& c) {
  Numbers numbers(c.m + c.bits);
  auto x = numbers.values(c.m * c.in);
  Weight w(numbers, c.out, c.in, c.bits, c.group, c.format);
  auto b = w.matrix(true, c.format);
  Rows rows(c.m, c.in, c.group, cpu::kForwardLimit, cpu::code_order(table, b, c.m));
  Rows plain(c.m, c.in, c.group, cpu::kForwardLimit, CodeOrder::natural);
  Outcome o;
  o.name = c.name("code_tile");
  o.found.resize(c.m * c.out);
  o.tolerance = 1e-6;  // the groups' sums are exact, their scales are not
  for (int64_t m = 0; m < c.m; ++m) {
    table.code_row(&x[m * c.in], c.in, rows.view(), m);
    code_plainly(&x[m * c.in], c.in, plain, m);
    expect_forward(plain, w, m, o);
  }
  Term term(numbers, c.m, c.rank, c.out, false);
  for (int64_t m = 0; m < c.m; ++m) term.add_to(o, m);
  run_tiles(
      table,
      {rows.view(), b, o.found.data(), c.out, c.m, c.out, c.in, false, term.view()});
  return o;
}

// dx = dy W, relative to the largest of the weights that one scale covers: each is
// rounded to 1 / 4095 of it.
void expect_backward(const Rows& dy, const Weight& w, int64_t m, Outcome& o) {
  for (int64_t n = 0; n < w.in; ++n) {
    double sum = 0, magnitude = 1e-30;
    for (int64_t first = 0; first < w.out; first += cpu::kBackwardGroup) {
      int64_t end = std::min<int64_t>(w.out, first + cpu::kBackwardGroup);
      double largest = 0, values = 0;
      for (int64_t k = first; k < end; ++k) {
        double value = dy.value(m, k);
        sum += value * w.value(k, n);
        values += std::abs(value);
        largest = std::max(largest, std::abs(w.value(k, n)));
      }
      magnitude += values * largest;
    }
    o.expected.push_back(sum);
    o.scale.push_back(magnitude);
  }
}

Outcome backward(const cpu::KernelTable& table, const Case& c) {
  Numbers numbers(c.m + c.bits);
  auto dy = numbers.values(c.m * c.out);
  Weight w(numbers, c.out, c.in, c.bits, c.group, c.format);
  int group = cpu::kBackwardGroup;
  Rows rows(c.m, c.out, group, cpu::kBackwardLimit, CodeOrder::natural), plain = rows;
  Outcome o;
  o.name = c.name("code_tile/back");
  o.found.resize(c.m * c.in);
  o.tolerance = 0.51 / cpu::kWeightLimit;
  for (int64_t m = 0; m < c.m; ++m) {
    table.code_row(&dy[m * c.out], c.out, rows.view(), m);
    code_plainly(&dy[m * c.out], c.out, plain, m);
    expect_backward(plain, w, m, o);
  }
  auto b = w.matrix(false, c.format);
  Term term(numbers, c.m, c.rank, c.in, true);
  for (int64_t m = 0; m < c.m; ++m) term.add_to(o, m);
  bool accumulates = c.rank == 16;
  if (accumulates) {
    o.found = numbers.values(c.m * c.in);
    for (size_t i = 0; i < o.found.size(); ++i) o.expected[i] += o.found[i];
  }
  run_tiles(
      table,
      {rows.view(),
       b,
       o.found.data(),
       c.in,
       c.m,
       c.in,
       c.out,
       accumulates,
       term.view()});
  return o;
}

}  // namespace

Outcomes code_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (float bad : {NAN, INFINITY, -INFINITY}) all.push_back(unfit_row(table, bad));
  for (auto order :
       {CodeOrder::natural,
        CodeOrder::pairs4,
        CodeOrder::pairs8,
        CodeOrder::bytes4,
        CodeOrder::bytes8})
    for (int group : {32, 64, 128})
      for (int64_t k : {1, 64, 200, 384})
        all.push_back(coded_row(table, order, group, k));
  for (int bits : {4, 8})
    for (int group : {32, 64, 128})
      for (auto format : {Format::f32, Format::f16, Format::bf16})
        for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 31}) {
          int64_t out = m % 2 ? 77 : 130, in = m % 3 ? 384 : 128;
          all.push_back(forward(table, {m, out, in, bits, group, format}));
          all.push_back(backward(table, {m, out, in, bits, group, format}));
        }
  for (int64_t rank : {1, 16, 65})
    for (int64_t m : {1, 8, 9, 31}) {
      all.push_back(forward(table, {m, 77, 384, 4, 32, Format::f16, rank}));
      all.push_back(backward(table, {m, 130, 384, 4, 32, Format::f16, rank}));
    }
  return all;
}

}  // namespace pupil::kernel_cases
