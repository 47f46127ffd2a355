#include "solve.hpp"

#include <algorithm>

namespace tipoff {
namespace {

constexpr int kSteps = 6;
// A step shorter than this is the last: what the next would add is its square over the distance.
constexpr double kConverged_m = 5e-4;
constexpr int kMaxPairs = 28;
// A keypoint with this weight or more supports the point.
constexpr double kInlierWeight = 0.4;

double weight_of(double r2) {
  return r2 <= kCore ? 1.0 : (kCore / r2) * (kCore / r2);
}
double loss_of(double r2) {
  return r2 <= kCore ? r2 : 2.0 * kCore - kCore * kCore / r2;
}

struct Normal {
  Sym3 information;
  Vec3 gradient;
  double cost = 0.0;
};

// Linearises every view at `point`; views where it has no image count as lost.
Normal linearise(const Sightings& views, Vec3 point, Vec3 velocity, PointSolution& out) {
  Normal normal;
  out.inliers = 0;
  for (int i = 0; i < views.count; ++i) {
    const auto slot = static_cast<std::size_t>(i);
    const Sighting& s = views.items[slot];
    Projection image;
    if (!project(*s.camera, point + s.dt_s * velocity, image)) {
      out.weight[slot] = 0.0;
      out.r2[slot] = 1e9;
      normal.cost += 2.0 * kCore;
      continue;
    }
    const double inv = 1.0 / (s.sigma_px * s.sigma_px);
    const Vec2 e = s.uv - image.uv;
    const double r2 = dot(e, e) * inv;
    const double w = weight_of(r2);
    out.r2[slot] = r2;
    out.weight[slot] = w;
    normal.cost += loss_of(r2);
    if (w >= kInlierWeight) ++out.inliers;
    const double s2 = w * inv;
    normal.information.add_outer(image.du, s2);
    normal.information.add_outer(image.dv, s2);
    normal.gradient = normal.gradient + (s2 * e.x) * image.du + (s2 * e.y) * image.dv;
  }
  return normal;
}

// The midpoint of two rays' closest approach; false where they are parallel or meet behind a
// camera.
bool midpoint(const Sighting& a, const Sighting& b, Vec3& point) {
  Vec2 na;
  Vec2 nb;
  if (!undistort(*a.camera, a.uv, na) || !undistort(*b.camera, b.uv, nb)) return false;
  const Vec3 da = ray_direction(*a.camera, na);
  const Vec3 db = ray_direction(*b.camera, nb);
  const Vec3 base = b.camera->center - a.camera->center;
  const double c = dot(da, db);
  const double det = 1.0 - c * c;
  if (!(det > 1e-5)) return false;
  const double ta = (dot(base, da) - c * dot(base, db)) / det;
  const double tb = (c * dot(base, da) - dot(base, db)) / det;
  if (!(ta > 0.0) || !(tb > 0.0)) return false;
  point = 0.5 * ((a.camera->center + ta * da) + (b.camera->center + tb * db));
  return true;
}

}  // namespace

bool solve_point(const Sightings& views, const PointPrior* prior, Vec3 velocity, Vec3 start,
                 PointSolution& out) {
  Vec3 point = start;
  for (int step = 0; step < kSteps; ++step) {
    const Normal normal = linearise(views, point, velocity, out);
    Sym3 total = normal.information;
    Vec3 gradient = normal.gradient;
    if (prior != nullptr) {
      total = total + prior->information;
      gradient = gradient + prior->information * (prior->point - point);
    }
    Sym3 covariance;
    if (!invert(total, covariance)) return false;
    const Vec3 delta = covariance * gradient;
    if (!finite(delta)) return false;
    point = point + delta;
    out.point = point;
    out.information = normal.information;
    out.cost = normal.cost;
    if (dot(delta, delta) < kConverged_m * kConverged_m) break;
  }
  return finite(point);
}

bool solve_free(const Sightings& views, Vec3 velocity, PointSolution& out) {
  if (views.count < 2) return false;
  bool found = false;
  PointSolution trial;
  Vec3 best;
  double best_cost = 0.0;
  int pairs = 0;
  // Far partners first: neighbours in the list are often neighbours on the ring, with thin
  // triangles.
  for (int gap = std::max(1, views.count / 2); gap >= 1 && pairs < kMaxPairs; --gap) {
    for (int i = 0; i + gap < views.count && pairs < kMaxPairs; ++i, ++pairs) {
      Vec3 point;
      const auto a = static_cast<std::size_t>(i);
      if (!midpoint(views.items[a], views.items[a + static_cast<std::size_t>(gap)], point))
        continue;
      const double cost = linearise(views, point, velocity, trial).cost;
      if (!found || cost < best_cost) {
        found = true;
        best = point;
        best_cost = cost;
      }
    }
  }
  return found && solve_point(views, nullptr, velocity, best, out) && out.inliers >= 2;
}

}  // namespace tipoff
