#include "camera.hpp"

#include <algorithm>
#include <limits>

namespace tipoff {
namespace {

constexpr int kNewtonSteps = 25;
// Normalised coordinates; about 1e-9 px at the focal lengths in use.
constexpr double kNewtonTolerance = 1e-13;
constexpr double kNewtonAccept = 1e-10;

struct Distorted {
  Vec2 xy;
  double xx;   // d xd / d x
  double xy_;  // d xd / d y, equal to d yd / d x
  double yy;
};

// Inlined by hand: it is most of what a projection costs.
[[gnu::always_inline]] inline Distorted distort(const Distortion& d, Vec2 p) {
  const double x2 = p.x * p.x;
  const double y2 = p.y * p.y;
  const double xy = p.x * p.y;
  const double r2 = x2 + y2;
  const double radial = 1.0 + r2 * (d.k1 + r2 * (d.k2 + r2 * d.k3));
  const double slope = d.k1 + r2 * (2.0 * d.k2 + r2 * 3.0 * d.k3);  // d radial / d r2
  Distorted out;
  out.xy.x = p.x * radial + 2.0 * d.p1 * xy + d.p2 * (r2 + 2.0 * x2);
  out.xy.y = p.y * radial + d.p1 * (r2 + 2.0 * y2) + 2.0 * d.p2 * xy;
  out.xx = radial + 2.0 * x2 * slope + 2.0 * d.p1 * p.y + 6.0 * d.p2 * p.x;
  out.xy_ = 2.0 * xy * slope + 2.0 * d.p1 * p.x + 2.0 * d.p2 * p.y;
  out.yy = radial + 2.0 * y2 * slope + 6.0 * d.p1 * p.y + 2.0 * d.p2 * p.x;
  return out;
}

double growth(const Distortion& d, double s) {
  return 1.0 + s * (3.0 * d.k1 + s * (5.0 * d.k2 + s * 7.0 * d.k3));
}

// The root of `growth` between a (where it is positive) and b (where it is not).
double bisect(const Distortion& d, double a, double b) {
  for (int i = 0; i < 200; ++i) {
    const double mid = 0.5 * (a + b);
    if (mid <= a || mid >= b) break;
    (growth(d, mid) > 0.0 ? a : b) = mid;
  }
  return a;
}

}  // namespace

double monotonic_limit(const Distortion& d) {
  // growth is a cubic in s = r^2 that starts at 1: between its turning points it is monotonic, so
  // its first root lies in the first stretch whose end is not positive.
  const double a = 21.0 * d.k3;
  const double b = 10.0 * d.k2;
  const double c = 3.0 * d.k1;
  std::array<double, 2> turns{0.0, 0.0};
  const double disc = b * b - 4.0 * a * c;
  if (a != 0.0 && disc >= 0.0) {
    const double q = -0.5 * (b + (b < 0.0 ? -1.0 : 1.0) * std::sqrt(disc));
    turns = {q / a, q != 0.0 ? c / q : 0.0};
    if (turns[0] > turns[1]) std::swap(turns[0], turns[1]);
  } else if (a == 0.0 && b != 0.0) {
    turns = {-c / b, -c / b};
  }
  double start = 0.0;
  for (const double turn : turns) {
    if (!(turn > start) || !std::isfinite(turn)) continue;
    if (growth(d, turn) <= 0.0) return bisect(d, start, turn);
    start = turn;
  }
  double end = std::max(1.0, 2.0 * start);
  for (int i = 0; i < 60; ++i, end *= 2.0) {
    if (growth(d, end) <= 0.0) return bisect(d, start, end);
  }
  return std::numeric_limits<double>::infinity();
}

void Camera::prepare() {
  center = -1.0 * transposed_times(R, t);
  max_r2 = monotonic_limit(d);
}

bool project(const Camera& camera, Vec3 point, Vec2& uv) {
  const Vec3 c = camera.R * point + camera.t;
  if (!(c.z > kMinDepth)) return false;
  const Vec2 p{c.x / c.z, c.y / c.z};
  if (!(p.x * p.x + p.y * p.y < camera.max_r2)) return false;
  const Vec2 xd = distort(camera.d, p).xy;
  uv = {camera.k.fx * xd.x + camera.k.skew * xd.y + camera.k.cx, camera.k.fy * xd.y + camera.k.cy};
  return true;
}

bool project(const Camera& camera, Vec3 point, Projection& out) {
  const Vec3 c = camera.R * point + camera.t;
  if (!(c.z > kMinDepth)) return false;
  const double inv = 1.0 / c.z;
  const Vec2 p{c.x / c.z, c.y / c.z};
  if (!(p.x * p.x + p.y * p.y < camera.max_r2)) return false;
  const Distorted xd = distort(camera.d, p);
  const Intrinsics& k = camera.k;
  out.uv = {k.fx * xd.xy.x + k.skew * xd.xy.y + k.cx, k.fy * xd.xy.y + k.cy};
  out.depth = c.z;
  // d(u, v) / d(x/z, y/z), then by the camera's axes, then by the world's.
  const double ux = k.fx * xd.xx + k.skew * xd.xy_;
  const double uy = k.fx * xd.xy_ + k.skew * xd.yy;
  const double vx = k.fy * xd.xy_;
  const double vy = k.fy * xd.yy;
  const Vec3 du{ux * inv, uy * inv, -(ux * p.x + uy * p.y) * inv};
  const Vec3 dv{vx * inv, vy * inv, -(vx * p.x + vy * p.y) * inv};
  out.du = transposed_times(camera.R, du);
  out.dv = transposed_times(camera.R, dv);
  return true;
}

bool undistort(const Camera& camera, Vec2 uv, Vec2& normalised) {
  if (!std::isfinite(uv.x) || !std::isfinite(uv.y)) return false;
  const double yd = (uv.y - camera.k.cy) / camera.k.fy;
  const Vec2 target{(uv.x - camera.k.cx - camera.k.skew * yd) / camera.k.fx, yd};
  Vec2 p = target;
  const double r2 = dot(p, p);
  if (!(r2 < camera.max_r2)) p = (0.9 * std::sqrt(camera.max_r2 / r2)) * p;
  double error = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kNewtonSteps; ++i) {
    const Distorted xd = distort(camera.d, p);
    const Vec2 e = target - xd.xy;
    error = std::max(std::fabs(e.x), std::fabs(e.y));
    if (error <= kNewtonTolerance) break;
    const double det = xd.xx * xd.yy - xd.xy_ * xd.xy_;
    if (!(std::fabs(det) > 1e-12)) return false;
    p.x += (xd.yy * e.x - xd.xy_ * e.y) / det;
    p.y += (xd.xx * e.y - xd.xy_ * e.x) / det;
    if (!std::isfinite(p.x) || !std::isfinite(p.y)) return false;
    const double now = dot(p, p);
    if (!(now < camera.max_r2)) p = std::sqrt(0.998 * camera.max_r2 / now) * p;
  }
  if (!(error <= kNewtonAccept)) return false;
  normalised = p;
  return true;
}

Vec3 ray_direction(const Camera& camera, Vec2 normalised) {
  const Vec3 world = transposed_times(camera.R, Vec3{normalised.x, normalised.y, 1.0});
  return (1.0 / norm(world)) * world;
}

std::int64_t row_delay_ns(const Camera& camera, double v) {
  if (camera.readout_ns == 0 || !(camera.height > 0.0) || !std::isfinite(v)) return 0;
  const double row = std::clamp(v / camera.height, 0.0, 1.0);
  return static_cast<std::int64_t>(row * static_cast<double>(camera.readout_ns));
}

}  // namespace tipoff
