// One point from its images in several cameras, robustly. accel.reference is the same mathematics
// in array code, and both take every decision by the same rule, so that they agree on what to
// reject.
//
// 1. A view takes part if its pixel is finite, its confidence is finite and positive, and some ray
//    of the camera's monotonic domain has this image.
// 2. The rays' least-squares point starts a solve over all these views; if every one lies within
//    the gate at the optimum, they are the inliers.
// 3. Otherwise each pair of the `max_proposers` most confident views proposes the midpoint of its
//    rays (in front of both, not parallel). The proposal with the least truncated cost
//    sum w min(r^2, gate^2) wins, the earlier one on a tie. The views within its gate start rounds
//    of solve and gate until the set stays; from round `free_rounds` on it may only shrink.
// 4. A solve minimises sum w r^2 in distorted pixels by Gauss-Newton, damped where a step fails.
// 5. Fewer than two inliers, no convergence, or an information matrix whose condition number (by
//    Frobenius norms) exceeds `max_condition`: no point.
// `free_solve` has another engine for the tracker's own points, because it is asked otherwise:
// joints of one person in lanes, a few fixed steps for all of them, each view at its own time, and
// a prior where there is one. This one converges, decides and reports covariances as its callers
// see them, a point at a time. The gate is the same for every view whatever its confidence: a
// doubtful view has to lie as near as a good one, it only counts less.
#pragma once

#include <span>
#include <vector>

#include "camera.hpp"

namespace tipoff {

struct TriangulateOptions {
  // Standard deviation of a keypoint of confidence 1, in pixels along each axis.
  double sigma_px = 2.0;
  // Chi square of 2 degrees of freedom at 99.9 %: -2 ln 0.001.
  double gate_chi2 = 13.815510557964274;
  double max_condition = 1e6;
  int max_proposers = 16;
  int max_steps = 50;
  int free_rounds = 5;
};

struct TriangulateResult {
  Vec3 point;
  // sigma^2 (sum w J^T J)^-1 over the inliers.
  Sym3 covariance;
};

// A view that takes part.
struct TriangulateView {
  int camera = 0;
  Vec2 uv;
  double weight = 1.0;
  Vec3 direction;
  bool inlier = false;
};

// Memory that calls share, so that a batch allocates once.
struct TriangulateScratch {
  std::vector<TriangulateView> views;
  std::vector<int> proposers;
};

// The point seen at `uv`, one pixel a camera of the rig, with one confidence each or none at all
// (all 1). False where there is none; then `out` holds nothing. Afterwards `scratch.views` says
// which took part and which of them are inliers.
bool triangulate(const Rig& rig, std::span<const Vec2> uv, std::span<const double> confidence,
                 const TriangulateOptions& options, TriangulateScratch& scratch,
                 TriangulateResult& out);

// Distance in pixels between a seen pixel and the image of the point; NaN where either is missing.
double residual_px(const Camera& camera, Vec3 point, Vec2 uv);

}  // namespace tipoff
