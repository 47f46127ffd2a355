#include "filter.hpp"

#include <algorithm>

namespace tipoff {
namespace {

Mat3 full(const Sym3& a) {
  Mat3 out;
  out.m = {a.xx, a.xy, a.xz, a.xy, a.yy, a.yz, a.xz, a.yz, a.zz};
  return out;
}

Mat3 product(const Mat3& a, const Mat3& b) {
  Mat3 out;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) {
      out(r, c) = a(r, 0) * b(0, c) + a(r, 1) * b(1, c) + a(r, 2) * b(2, c);
    }
  }
  return out;
}

Sym3 square(const Sym3& a) {
  return {a.xx * a.xx + a.xy * a.xy + a.xz * a.xz, a.xx * a.xy + a.xy * a.yy + a.xz * a.yz,
          a.xx * a.xz + a.xy * a.yz + a.xz * a.zz, a.xy * a.xy + a.yy * a.yy + a.yz * a.yz,
          a.xy * a.xz + a.yy * a.yz + a.yz * a.zz, a.xz * a.xz + a.yz * a.yz + a.zz * a.zz};
}

}  // namespace

double largest_eigenvalue(const Sym3& a) {
  // trace(a^k)^(1/k) falls to the largest eigenvalue from above; k = 64, scaled to stay in range.
  double scale = a.trace();
  if (!(scale > 0.0)) return scale;
  Sym3 power = (1.0 / scale) * a;
  double log_free = 1.0;  // product of the scales, each under its root
  double root = 1.0;
  for (int i = 0; i < 6; ++i) {
    power = square(power);
    const double t = power.trace();
    root *= 0.5;
    double factor = t;
    for (double r = root; r < 1.0; r *= 2.0) factor = std::sqrt(factor);
    log_free *= factor;
    power = (1.0 / t) * power;
  }
  return scale * log_free;
}

void JointFilter::start(Vec3 position, Vec3 velocity, const Sym3& covariance,
                        double speed_std_mps) {
  p = position;
  v = velocity;
  pp = covariance;
  pv.m.fill(0.0);
  vv = Sym3::diagonal(speed_std_mps * speed_std_mps);
}

void JointFilter::predict(double dt_s, Vec3 body_velocity, const Motion& motion) {
  const double keep = 1.0 / (1.0 + dt_s / motion.relax_s);
  p = p + dt_s * v;
  v = body_velocity + keep * (v - body_velocity);
  const Sym3 drift{2.0 * pv(0, 0), pv(0, 1) + pv(1, 0), pv(0, 2) + pv(2, 0),
                   2.0 * pv(1, 1), pv(1, 2) + pv(2, 1), 2.0 * pv(2, 2)};
  const double q = motion.acceleration;
  pp = pp + dt_s * drift + (dt_s * dt_s) * vv + Sym3::diagonal(q * dt_s * dt_s * dt_s / 3.0);
  const Mat3 speed = full(vv);
  for (std::size_t i = 0; i < 9; ++i) pv.m[i] = keep * (pv.m[i] + dt_s * speed.m[i]);
  const double mixed = 0.5 * q * dt_s * dt_s;
  for (int i = 0; i < 3; ++i) pv(i, i) += mixed;
  vv = (keep * keep) * vv + Sym3::diagonal(q * dt_s);
}

void JointFilter::condition(Vec3 position, const Sym3& posterior) {
  Sym3 information;
  if (!invert(pp, information)) {
    p = position;
    pp = posterior;
    return;
  }
  const Mat3 gain = product(full(information), pv);  // A^-1 B, 3x3
  const Vec3 moved = position - p;
  v = v + transposed_times(gain, moved);
  Mat3 lost = full(pp);
  const Mat3 kept = full(posterior);
  for (std::size_t i = 0; i < 9; ++i) lost.m[i] -= kept.m[i];
  const Mat3 reduced = product(lost, gain);
  Mat3 drop;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) {
      drop(r, c) =
          gain(0, r) * reduced(0, c) + gain(1, r) * reduced(1, c) + gain(2, r) * reduced(2, c);
    }
  }
  vv.xx -= drop(0, 0);
  vv.xy -= 0.5 * (drop(0, 1) + drop(1, 0));
  vv.xz -= 0.5 * (drop(0, 2) + drop(2, 0));
  vv.yy -= drop(1, 1);
  vv.yz -= 0.5 * (drop(1, 2) + drop(2, 1));
  vv.zz -= drop(2, 2);
  pv = product(kept, gain);
  p = position;
  pp = posterior;
}

double JointFilter::max_std_m() const {
  return std::sqrt(std::max(largest_eigenvalue(pp), 0.0));
}

}  // namespace tipoff
