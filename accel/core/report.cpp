#include "report.hpp"

#include <algorithm>
#include <limits>

#include "associate.hpp"

namespace tipoff {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
// How well a learned limb length is believed, and after how many sights of it.
constexpr double kLimbStd_m = 0.01;
constexpr double kLimbSights = 15.0;
// A view counts as long as its camera is not late by more than this many intervals.
constexpr double kViewIntervals = 1.5;
// Margin around the joints, as a part of the body's size in the image; joints are not the skin.
constexpr double kBoxMargin = 0.12;
constexpr double kHiddenConfidence = 0.1;

struct Body {
  std::vector<Vec3> points;
  std::vector<Sym3> covariances;
};

// One limb as a soft constraint between two joints: a scalar Kalman update along the limb (errors
// of the two joints taken as independent).
void constrain(Body& body, std::size_t a, std::size_t b, double length_m) {
  const Vec3 d = body.points[b] - body.points[a];
  const double now = norm(d);
  if (!(now > 1e-3)) return;
  const Vec3 n = (1.0 / now) * d;
  const Vec3 pa = body.covariances[a] * n;
  const Vec3 pb = body.covariances[b] * n;
  const double s = dot(n, pa) + dot(n, pb) + kLimbStd_m * kLimbStd_m;
  const double gain = (length_m - now) / s;
  body.points[a] = body.points[a] - gain * pa;
  body.points[b] = body.points[b] + gain * pb;
  body.covariances[a].add_outer(pa, -1.0 / s);
  body.covariances[b].add_outer(pb, -1.0 / s);
}

Body constrained(const Track& track, const SkeletonSpec& skeleton) {
  Body body;
  body.points.reserve(track.joints.size());
  body.covariances.reserve(track.joints.size());
  for (const Joint& joint : track.joints) {
    body.points.push_back(joint.filter.p);
    body.covariances.push_back(joint.filter.pp);
  }
  for (std::size_t l = 0; l < skeleton.limbs.size(); ++l) {
    if (track.limbs[l].weight < kLimbSights) continue;
    constrain(body, static_cast<std::size_t>(skeleton.limbs[l].first),
              static_cast<std::size_t>(skeleton.limbs[l].second), track.limbs[l].mean_m);
  }
  return body;
}

int views_of(const Track& track, const State& state, std::size_t joint, std::size_t cameras) {
  int count = 0;
  for (std::size_t c = 0; c < cameras; ++c) {
    const std::int64_t at = track.supported_ns[joint * cameras + c];
    if (at == kNever) continue;
    const double age = static_cast<double>(state.time_ns - at);
    if (age <= kViewIntervals * static_cast<double>(state.interval_ns[c]) + 1e6) ++count;
  }
  return count;
}

}  // namespace

void report_track(const Track& track, const State& state, const TrackerOptions& options,
                  std::size_t cameras, Snapshot& out) {
  const Body body = constrained(track, options.skeleton);
  const std::size_t joints = body.points.size();
  const std::size_t first = out.points.size();
  bool any = false;
  for (std::size_t j = 0; j < joints; ++j) {
    const double limit = options.max_std_m * options.max_std_m;
    const bool known = largest_eigenvalue(body.covariances[j]) <= limit && finite(body.points[j]);
    const int views = known ? views_of(track, state, j, cameras) : 0;
    any = any || known;
    out.points.push_back(known ? body.points[j] : Vec3{kNaN, kNaN, kNaN});
    out.covariances.push_back(known ? body.covariances[j]
                                    : Sym3{kNaN, kNaN, kNaN, kNaN, kNaN, kNaN});
    out.confidences.push_back(views > 0 ? static_cast<float>(track.joints[j].confidence) : 0.0F);
    out.views.push_back(views);
  }
  if (any) {
    out.ids.push_back(track.id);
    return;
  }
  out.points.resize(first);
  out.covariances.resize(first);
  out.confidences.resize(first);
  out.views.resize(first);
}

Prediction predict_tracks(const std::vector<Track>& tracks, const TrackerOptions& options,
                          const Camera& camera) {
  Prediction out;
  out.joints = options.skeleton.joints;
  std::vector<TrackImage> images(tracks.size());
  for (std::size_t k = 0; k < tracks.size(); ++k) image_of(tracks[k], camera, 0.0, images[k]);
  for (std::size_t k = 0; k < tracks.size(); ++k) {
    const TrackImage& image = images[k];
    std::array<double, 4> box{kNaN, kNaN, kNaN, kNaN};
    if (image.inside > 0) {
      const double margin = kBoxMargin * image.size_px();
      box = {image.x0 - margin, image.y0 - margin, image.x1 + margin, image.y1 + margin};
    }
    out.ids.push_back(tracks[k].id);
    out.boxes.push_back(box);
    for (std::size_t j = 0; j < image.points.size(); ++j) {
      const TrackImage::Point& point = image.points[j];
      const bool visible = point.inside && !hidden(images, options.skeleton, camera, k, j);
      const double expected = visible ? tracks[k].joints[j].confidence : kHiddenConfidence;
      out.keypoints.push_back(static_cast<float>(point.valid ? point.uv.x : kNaN));
      out.keypoints.push_back(static_cast<float>(point.valid ? point.uv.y : kNaN));
      out.keypoints.push_back(static_cast<float>(point.valid ? expected : 0.0));
      out.visible.push_back(visible ? 1 : 0);
    }
  }
  return out;
}

}  // namespace tipoff
