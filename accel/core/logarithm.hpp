// The natural logarithm in additions, multiplications and divisions alone: the same bits on every
// machine, which a library's own function does not promise.
#pragma once

#include <cmath>

namespace tipoff {

// ln x of a finite x > 0 to 1e-9: x = m 2^e with m in [1/sqrt 2, sqrt 2), and ln m by the series of
// 2 atanh((m - 1) / (m + 1)), whose argument is at most 0.172.
inline double natural_log(double x) {
  constexpr double kLn2 = 0.693147180559945309417;
  constexpr double kHalfRoot = 0.707106781186547524401;
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < kHalfRoot) {
    m *= 2.0;
    --exponent;
  }
  const double z = (m - 1.0) / (m + 1.0);
  const double z2 = z * z;
  const double series =
      1.0 + z2 * (1.0 / 3.0 + z2 * (0.2 + z2 * (1.0 / 7.0 + z2 * (1.0 / 9.0 + z2 / 11.0))));
  return 2.0 * z * series + static_cast<double>(exponent) * kLn2;
}

}  // namespace tipoff
