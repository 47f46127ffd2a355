#include "triangulate.hpp"

#include <algorithm>
#include <limits>

namespace tipoff {
namespace {

using Views = std::vector<TriangulateView>;

// Sine squared of the angle below which two rays propose nothing; the condition number decides
// later.
constexpr double kParallelSin2 = 1e-12;
// A solve has converged when its step moves the images by less than this, in weighted pixels.
constexpr double kStepPx = 1e-7;
// A step near the optimum may raise the cost by rounding, relative.
constexpr double kCostSlack = 1e-12;
constexpr double kFirstDamping = 1e-3;
constexpr double kMostDamping = 1e8;

// The quadratic model of the cost at a point.
struct Model {
  double cost = 0.0;
  double weight = 0.0;
  Sym3 information;
  Vec3 gradient;
};

bool present(Vec2 uv, double confidence) {
  return std::isfinite(uv.x) && std::isfinite(uv.y) && std::isfinite(confidence) &&
         confidence > 0.0;
}

void collect(const Rig& rig, std::span<const Vec2> uv, std::span<const double> confidence,
             Views& views) {
  views.clear();
  for (std::size_t c = 0; c < rig.cameras.size(); ++c) {
    const double weight = confidence.empty() ? 1.0 : confidence[c];
    Vec2 normalised;
    if (!present(uv[c], weight) || !undistort(rig.cameras[c], uv[c], normalised)) continue;
    views.push_back(
        {static_cast<int>(c), uv[c], weight, ray_direction(rig.cameras[c], normalised), false});
  }
}

const Camera& camera_of(const Rig& rig, const TriangulateView& view) {
  return rig.cameras[static_cast<std::size_t>(view.camera)];
}

// The point nearest to all rays; false where they are parallel.
bool intersect(const Rig& rig, const Views& views, Vec3& point) {
  const Vec3 origin = camera_of(rig, views.front()).center;
  Sym3 a;
  Vec3 b;
  for (const TriangulateView& view : views) {
    const Vec3 c = camera_of(rig, view).center - origin;
    const Vec3 d = view.direction;
    a = a + view.weight * Sym3::diagonal(1.0);
    a.add_outer(d, -view.weight);
    b = b + view.weight * (c - dot(d, c) * d);
  }
  Sym3 inverse;
  if (!invert(a, inverse)) return false;
  point = origin + inverse * b;
  return finite(point);
}

bool model_at(const Rig& rig, const Views& views, Vec3 point, Model& out) {
  out = Model{};
  for (const TriangulateView& view : views) {
    if (!view.inlier) continue;
    Projection p;
    if (!project(camera_of(rig, view), point, p)) return false;
    const Vec2 r = view.uv - p.uv;
    out.cost += view.weight * dot(r, r);
    out.weight += view.weight;
    out.information.add_outer(p.du, view.weight);
    out.information.add_outer(p.dv, view.weight);
    out.gradient = out.gradient + view.weight * (r.x * p.du + r.y * p.dv);
  }
  return std::isfinite(out.cost);
}

Sym3 damped(Sym3 a, double damping) {
  a.xx += damping * a.xx;
  a.yy += damping * a.yy;
  a.zz += damping * a.zz;
  return a;
}

// Moves the point to the least weighted squares of the inliers; false without convergence.
bool solve(const Rig& rig, const Views& views, int max_steps, Vec3& point, Model& model) {
  if (!model_at(rig, views, point, model)) return false;
  double damping = 0.0;
  for (int i = 0; i < max_steps; ++i) {
    Sym3 inverse;
    Vec3 step;
    Model next;
    const bool regular = invert(damped(model.information, damping), inverse);
    if (regular) step = inverse * model.gradient;
    if (regular && model_at(rig, views, point + step, next) &&
        next.cost <= model.cost + kCostSlack * model.cost) {
      const double moved = dot(step, model.information * step);
      point = point + step;
      const bool done = moved <= kStepPx * kStepPx * model.weight;
      model = next;
      if (done) return true;
      damping = damping <= kFirstDamping ? 0.0 : 0.1 * damping;
    } else {
      damping = damping == 0.0 ? kFirstDamping : 10.0 * damping;
      if (damping > kMostDamping) return false;
    }
  }
  return false;
}

double squared_residual(const Rig& rig, const TriangulateView& view, Vec3 point) {
  Vec2 uv;
  if (!project(camera_of(rig, view), point, uv)) return std::numeric_limits<double>::infinity();
  const Vec2 r = view.uv - uv;
  return dot(r, r);
}

bool all_within(const Rig& rig, const Views& views, Vec3 point, double gate2) {
  return std::all_of(views.begin(), views.end(), [&](const TriangulateView& view) {
    return squared_residual(rig, view, point) <= gate2;
  });
}

// The midpoint of the rays' nearest points; false where they are parallel or it lies behind one.
bool midpoint(const Rig& rig, const TriangulateView& a, const TriangulateView& b, Vec3& point) {
  const Vec3 baseline = camera_of(rig, b).center - camera_of(rig, a).center;
  const double cosine = dot(a.direction, b.direction);
  const Vec3 normal = cross(a.direction, b.direction);
  const double sin2 = dot(normal, normal);
  if (!(sin2 > kParallelSin2)) return false;
  const double along_a = dot(baseline, a.direction);
  const double along_b = dot(baseline, b.direction);
  const double s = (along_a - cosine * along_b) / sin2;
  const double t = (cosine * along_a - along_b) / sin2;
  if (!(s > 0.0) || !(t > 0.0)) return false;
  const Vec3 on_a = camera_of(rig, a).center + s * a.direction;
  const Vec3 on_b = camera_of(rig, b).center + t * b.direction;
  point = 0.5 * (on_a + on_b);
  return true;
}

// The most confident views, in the order of the cameras.
void choose_proposers(const Views& views, std::size_t most, std::vector<int>& out) {
  out.resize(views.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<int>(i);
  if (out.size() <= most) return;
  std::stable_sort(out.begin(), out.end(), [&](int a, int b) {
    return views[static_cast<std::size_t>(a)].weight > views[static_cast<std::size_t>(b)].weight;
  });
  out.resize(most);
  std::sort(out.begin(), out.end());
}

double truncated_cost(const Rig& rig, const Views& views, Vec3 point, double gate2, double bound) {
  double cost = 0.0;
  for (const TriangulateView& view : views) {
    cost += view.weight * std::min(squared_residual(rig, view, point), gate2);
    if (!(cost < bound)) break;  // Only grows: it can no longer win.
  }
  return cost;
}

bool propose(const Rig& rig, double gate2, const TriangulateOptions& options,
             TriangulateScratch& scratch, Vec3& best) {
  choose_proposers(scratch.views, static_cast<std::size_t>(options.max_proposers),
                   scratch.proposers);
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < scratch.proposers.size(); ++i) {
    for (std::size_t j = i + 1; j < scratch.proposers.size(); ++j) {
      const auto& a = scratch.views[static_cast<std::size_t>(scratch.proposers[i])];
      const auto& b = scratch.views[static_cast<std::size_t>(scratch.proposers[j])];
      Vec3 point;
      if (!midpoint(rig, a, b, point)) continue;
      const double cost = truncated_cost(rig, scratch.views, point, gate2, least);
      if (cost < least) {
        least = cost;
        best = point;
      }
    }
  }
  return least < std::numeric_limits<double>::infinity();
}

// Sets the inliers at the point; returns how many there are and whether the set changed.
struct Gated {
  int count = 0;
  bool changed = false;
};

Gated gate(const Rig& rig, Vec3 point, double gate2, bool may_grow, Views& views) {
  Gated out;
  for (TriangulateView& view : views) {
    const bool within = (may_grow || view.inlier) && squared_residual(rig, view, point) <= gate2;
    out.changed |= within != view.inlier;
    out.count += within ? 1 : 0;
    view.inlier = within;
  }
  return out;
}

// Solve and gate in turn until the set of inliers stays.
bool settle(const Rig& rig, double gate2, const TriangulateOptions& options, Views& views,
            Vec3& point, Model& model) {
  if (gate(rig, point, gate2, true, views).count < 2) return false;
  const int most = options.free_rounds + static_cast<int>(views.size());
  for (int round = 0; round <= most; ++round) {
    if (!solve(rig, views, options.max_steps, point, model)) return false;
    const Gated now = gate(rig, point, gate2, round < options.free_rounds, views);
    if (now.count < 2) return false;
    if (!now.changed) return true;
  }
  return false;
}

double frobenius2(const Sym3& a) {
  return a.xx * a.xx + a.yy * a.yy + a.zz * a.zz + 2.0 * (a.xy * a.xy + a.xz * a.xz + a.yz * a.yz);
}

bool covariance(const Sym3& information, const TriangulateOptions& options, Sym3& out) {
  Sym3 inverse;
  if (!invert(information, inverse)) return false;
  const double condition2 = frobenius2(information) * frobenius2(inverse);
  if (!(condition2 <= options.max_condition * options.max_condition)) return false;
  out = options.sigma_px * options.sigma_px * inverse;
  return true;
}

bool solve_all(const Rig& rig, double gate2, const TriangulateOptions& options, Views& views,
               Vec3& point, Model& model) {
  for (TriangulateView& view : views) view.inlier = true;
  return intersect(rig, views, point) && solve(rig, views, options.max_steps, point, model) &&
         all_within(rig, views, point, gate2);
}

bool reject(Views& views) {
  for (TriangulateView& view : views) view.inlier = false;
  return false;
}

}  // namespace

bool triangulate(const Rig& rig, std::span<const Vec2> uv, std::span<const double> confidence,
                 const TriangulateOptions& options, TriangulateScratch& scratch,
                 TriangulateResult& out) {
  collect(rig, uv, confidence, scratch.views);
  if (scratch.views.size() < 2) return false;
  const double gate2 = options.gate_chi2 * options.sigma_px * options.sigma_px;
  Vec3 point;
  Model model;
  if (!solve_all(rig, gate2, options, scratch.views, point, model)) {
    if (!propose(rig, gate2, options, scratch, point) ||
        !settle(rig, gate2, options, scratch.views, point, model)) {
      return reject(scratch.views);
    }
  }
  if (!covariance(model.information, options, out.covariance)) return reject(scratch.views);
  out.point = point;
  return true;
}

double residual_px(const Camera& camera, Vec3 point, Vec2 uv) {
  Vec2 image;
  const bool seen = std::isfinite(uv.x) && std::isfinite(uv.y) && project(camera, point, image);
  return seen ? norm(uv - image) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace tipoff
