// What the ball's filters need beyond linalg.hpp: exp and log without libm, and states of nine
// numbers (position, velocity, acceleration) with their covariance.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "linalg.hpp"

namespace tipoff::ball {

inline constexpr std::size_t kDim = 9;
using Vec9 = std::array<double, kDim>;
using Mat9 = std::array<double, kDim * kDim>;  // symmetric, by rows

inline constexpr double kLogTwoPi = 1.8378770664093453;

// e^x by 2^k and a Taylor polynomial: the same bits wherever it is compiled. 0 below -700.
inline double exp_of(double x) {
  if (!(x > -700.0)) return 0.0;
  if (x > 700.0) x = 700.0;
  constexpr double kLn2High = 6.93147180369123816490e-01;
  constexpr double kLn2Low = 1.90821492927058770002e-10;
  const double k = std::floor(x * 1.4426950408889634 + 0.5);
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double sum = 1.0;
  for (int n = 13; n > 0; --n) sum = 1.0 + r * sum / n;
  return std::ldexp(sum, static_cast<int>(k));
}

// ln x for x > 0 by the series of atanh.
inline double log_of(double x) {
  if (!(x > 1e-300)) x = 1e-300;
  int k = 0;
  double m = std::frexp(x, &k);
  if (m < 0.7071067811865476) {
    m *= 2.0;
    --k;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double s2 = s * s;
  double sum = 0.0;
  for (int n = 21; n > 0; n -= 2) sum = 1.0 / n + s2 * sum;
  return 2.0 * s * sum + 0.6931471805599453 * k;
}

inline Vec3 part(const Vec9& x, std::size_t block) {
  return {x[3 * block], x[3 * block + 1], x[3 * block + 2]};
}

inline void set_part(Vec9& x, std::size_t block, Vec3 v) {
  x[3 * block] = v.x;
  x[3 * block + 1] = v.y;
  x[3 * block + 2] = v.z;
}

// The covariance of one block with itself.
inline Sym3 block_of(const Mat9& p, std::size_t block) {
  const std::size_t i = 3 * block;
  const auto at = [&](std::size_t r, std::size_t c) { return p[(i + r) * kDim + i + c]; };
  return {at(0, 0), at(0, 1), at(0, 2), at(1, 1), at(1, 2), at(2, 2)};
}

inline void add_diagonal(Mat9& p, std::size_t block, double value) {
  for (std::size_t i = 3 * block; i < 3 * block + 3; ++i) p[i * kDim + i] += value;
}

// u^T A v.
inline double form(Vec3 u, const Sym3& a, Vec3 v) {
  return dot(u, a * v);
}

// The largest eigenvalue of a symmetric matrix from above, by its trace and Frobenius norm.
inline double largest_eigenvalue(const Sym3& a) {
  const double q = a.trace() / 3.0;
  const double xx = a.xx - q;
  const double yy = a.yy - q;
  const double zz = a.zz - q;
  const double p2 = xx * xx + yy * yy + zz * zz + 2.0 * (a.xy * a.xy + a.xz * a.xz + a.yz * a.yz);
  return q + std::sqrt(2.0 / 3.0 * p2);
}

}  // namespace tipoff::ball
