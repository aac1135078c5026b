// How many tasks are solved if one may try k times.

#pragma once

namespace pupil {

/// The unbiased estimate of pass@k from `n` samples of which `passed` pass, n >= k >=
/// 1: 1 - C(n - passed, k) / C(n, k), as a product (Chen et al. 2021, arXiv:2107.03374,
/// section 2.1).
inline double pass_at_k(int n, int passed, int k) {
  if (n - passed < k) return 1.0;
  double all_fail = 1.0;
  for (int i = n - passed + 1; i <= n; ++i) all_fail *= 1.0 - double(k) / i;
  return 1.0 - all_fail;
}

}  // namespace pupil
