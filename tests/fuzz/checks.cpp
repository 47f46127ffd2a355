#include "checks.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace tipoff::fuzz {
namespace {

void require_identities(const std::vector<std::int64_t>& ids) {
  std::int64_t last = 0;
  for (const std::int64_t id : ids) {
    require(id > last, "identities are positive, ascend and are told once");
    last = id;
  }
}

}  // namespace

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

bool sound(const Sym3& s) {
  if (!(s.xx > 0.0) || !std::isfinite(s.xx)) return false;
  const double yx = s.xy / s.xx;
  const double zx = s.xz / s.xx;
  const double yy = s.yy - yx * s.xy;
  if (!(yy > 0.0) || !std::isfinite(yy)) return false;
  const double zy = (s.yz - yx * s.xz) / yy;
  const double zz = s.zz - zx * s.xz - zy * zy * yy;
  return zz > 0.0 && std::isfinite(zz);
}

void check(const Snapshot& s, const Tracker& tracker, bool own) {
  require_identities(s.ids);
  const std::size_t lanes = s.ids.size() * static_cast<std::size_t>(s.joints);
  require(s.points.size() == lanes && s.covariances.size() == lanes &&
              s.confidences.size() == lanes && s.views.size() == lanes,
          "a snapshot has every joint of every track");
  if (!own) return;
  const double most_m2 = tracker.options().max_std_m * tracker.options().max_std_m;
  for (std::size_t k = 0; k < s.ids.size(); ++k) {
    bool any = false;
    for (std::size_t j = 0; j < static_cast<std::size_t>(s.joints); ++j) {
      const std::size_t i = k * static_cast<std::size_t>(s.joints) + j;
      require(s.confidences[i] >= 0.0F && s.confidences[i] <= 1.0F, "a confidence is a share");
      require(s.views[i] >= 0 && s.views[i] <= tracker.cameras(), "no more views than cameras");
      if (std::isnan(s.points[i].x)) continue;
      any = true;
      require(finite(s.points[i]), "a known joint is somewhere");
      const Sym3& p = s.covariances[i];
      require(sound(p), "a known joint's covariance is positive definite");
      require(std::max({p.xx, p.yy, p.zz}) <= most_m2 * (1.0 + 1e-9),
              "a known joint is known to max_std_m");
    }
    require(any, "a track that is told has a known joint");
  }
}

void check(const Prediction& p) {
  require_identities(p.ids);
  const std::size_t lanes = p.ids.size() * static_cast<std::size_t>(p.joints);
  require(p.boxes.size() == p.ids.size() && p.visible.size() == lanes &&
              p.keypoints.size() == 3 * lanes,
          "a prediction has every joint of every track");
  for (const std::array<double, 4>& box : p.boxes) {
    if (std::isnan(box[0]) && std::isnan(box[1]) && std::isnan(box[2]) && std::isnan(box[3])) {
      continue;
    }
    require(box[0] <= box[2] && box[1] <= box[3], "a box is not inside out");
  }
  for (const char visible : p.visible) require(visible == 0 || visible == 1, "seen or not");
}

void check(const Plan& plan, const PlanBudget& budget) {
  const auto open = [&](int camera) {
    return camera >= 0 && static_cast<std::size_t>(camera) < budget.available.size() &&
           budget.available[static_cast<std::size_t>(camera)] != 0;
  };
  require(plan.cost_ms <= budget.inference_ms + budget.overdraft_ms + 1e-9,
          "a plan keeps to its budget");
  require(std::isfinite(plan.gain_m) && std::isfinite(plan.error_before_m) &&
              std::isfinite(plan.error_after_m),
          "a plan's gain is a number");
  for (const PlannedPose& pose : plan.poses) {
    require(open(pose.camera), "poses are asked of cameras with a frame");
    require(pose.x0 <= pose.x1 && pose.y0 <= pose.y1, "a crop is not inside out");
    require(pose.gain_m >= 0.0, "no choice makes it worse");
  }
  for (const PlannedDetect& detect : plan.detects) {
    require(open(detect.camera), "searches are asked of cameras with a frame");
  }
}

void check(const std::vector<CameraHealth>& health, const Tracker& tracker) {
  require(static_cast<int>(health.size()) == tracker.cameras(), "every camera has its health");
  for (const CameraHealth& camera : health) {
    require(camera.partner >= -1 && camera.partner < tracker.cameras(), "a partner is a camera");
    require(std::isfinite(camera.sigma_scale) && camera.sigma_scale >= 1.0,
            "a camera is trusted at most as its noise says");
    require(std::isfinite(camera.bias_px.x) && std::isfinite(camera.bias_px.y),
            "a bias is a number");
  }
}

void check(const TrackerStats& s) {
  require(s.accepted >= 0 && s.refused_late >= 0 && s.refused_twice >= 0 && s.held_ahead >= 0 &&
              s.dropped_detections >= 0 && s.missing_keypoints >= 0 && s.replayed >= 0,
          "nothing is counted backwards");
  require(s.steps.births >= s.steps.deaths, "nobody dies unborn");
}

}  // namespace tipoff::fuzz
