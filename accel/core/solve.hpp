// One point from several views: the robust maximum a posteriori point with what the views know of
// it.
#pragma once

#include <array>

#include "camera.hpp"

namespace tipoff {

// One keypoint in one view.
struct Sighting {
  const Camera* camera = nullptr;
  Vec2 uv;
  double sigma_px = 1.0;
  // Exposure of this row relative to the time of the solve, s.
  double dt_s = 0.0;
  int slot = 0;
};

struct Sightings {
  std::array<Sighting, 64> items;
  int count = 0;
};

// What is known before the views: where, with which covariance, and how it moves.
struct PointPrior {
  Vec3 point;
  Vec3 velocity;
  Sym3 covariance;
  Sym3 information;
};

struct PointSolution {
  Vec3 point;
  // Of the views alone, in weights of the robust loss.
  Sym3 information;
  double cost = 0.0;
  int inliers = 0;
  std::array<double, 64> weight{};
  std::array<double, 64> r2{};  // squared residual in units of sigma
};

// Iteratively reweighted Gauss-Newton over all views and the prior (may be null), from `start`; the
// loss is quadratic up to `kCore` squared sigmas and bounded at twice that beyond. False where too
// few views see the point or the normal equations are singular.
bool solve_point(const Sightings& views, const PointPrior* prior, Vec3 velocity, Vec3 start,
                 PointSolution& out);

// The point that most views agree on, without a prior: hypotheses from pairs of views, the best of
// them refined. False with fewer than two views in agreement.
bool solve_free(const Sightings& views, Vec3 velocity, PointSolution& out);

// Squared residual (in sigmas, two degrees of freedom) up to which the loss is quadratic: 95 %.
inline constexpr double kCore = 6.0;

}  // namespace tipoff
