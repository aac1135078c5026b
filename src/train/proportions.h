// What may be said of counts of tasks that are solved or not. Pure functions.

#pragma once

#include "train/bootstrap.h"

namespace pupil {

/// `passed` of `count` tasks as a share with Wilson's 95 % score interval (Wilson 1927,
/// without continuity correction), which is right near 0 and 1 and for few tasks, where
/// a bootstrap of zeros and ones collapses. With `count` 0 the numbers mean nothing.
Interval wilson_interval(int passed, int count);

/// The two-sided p-value of McNemar's exact test: of the tasks that one policy solves
/// and the other does not, `gained` and `lost`, how likely is a split at least as
/// uneven if both are as good (a binomial with 1/2)? 1 without such tasks.
double mcnemar_p(int gained, int lost);

}  // namespace pupil
