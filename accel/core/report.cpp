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
// Part of a limb's information that is new: what errs at one of its joints often errs at both.
constexpr double kLimbNews = 0.85;
// What smoothing leaves of a covariance: accelerations are less white than the model has them,
// those of limbs least, so that what came after tells more than it allows for.
constexpr double kSmoothedTrunk = 0.99;
constexpr double kSmoothedLimb = 0.86;
// A view counts as long as its camera is not late by more than this many intervals.
constexpr double kViewIntervals = 1.5;
// Margin around the joints, as a part of the body's size in the image; joints are not the skin.
constexpr double kBoxMargin = 0.12;
constexpr double kHiddenConfidence = 0.1;

// One limb as a soft constraint between two joints: a scalar Kalman update along the limb (errors
// of the two joints taken as independent).
void constrain(Vec3* points, Sym3* covariances, std::size_t a, std::size_t b, double length_m) {
  const Vec3 d = points[b] - points[a];
  const double now = norm(d);
  if (!(now > 1e-3)) return;
  const Vec3 n = (1.0 / now) * d;
  const Vec3 pa = covariances[a] * n;
  const Vec3 pb = covariances[b] * n;
  const double s = 1.0 / (dot(n, pa) + dot(n, pb) + kLimbStd_m * kLimbStd_m);
  const double gain = (length_m - now) * s;
  points[a] = points[a] - gain * pa;
  points[b] = points[b] + gain * pb;
  covariances[a].add_outer(pa, -kLimbNews * s);
  covariances[b].add_outer(pb, -kLimbNews * s);
}

// The joints of those chosen, one person after the other, as they are tracked.
void copy_joints(const TracksAt& at, const Setup& setup, const std::vector<std::size_t>& chosen,
                 Snapshot& out) {
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    for (std::size_t j = 0; j < setup.joints; ++j) {
      const std::size_t lane = chosen[i] * setup.joints + j;
      out.points[i * setup.joints + j] = vec3_at(*at.joints, kP, lane);
      out.covariances[i * setup.joints + j] = sym3_at(*at.joints, kPP, lane);
    }
  }
}

// Limb by limb over all people: within one body each limb waits for the one before.
void constrain_limbs(const TracksAt& at, const Setup& setup, const std::vector<std::size_t>& chosen,
                     Snapshot& out) {
  for (std::size_t l = 0; l < setup.limbs; ++l) {
    const auto& [a, b] = setup.options.skeleton.limbs[l];
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const std::size_t lane = chosen[i] * setup.limbs + l;
      if (at.limbs->at(kLengthWeight, lane) < kLimbSights) continue;
      constrain(out.points.data() + i * setup.joints, out.covariances.data() + i * setup.joints,
                static_cast<std::size_t>(a), static_cast<std::size_t>(b),
                at.limbs->at(kLength, lane));
    }
  }
}

void temper(const Setup& setup, Snapshot& out) {
  for (std::size_t i = 0; i < out.covariances.size(); ++i) {
    const double part = setup.kinds[i % setup.joints] == 0 ? kSmoothedTrunk : kSmoothedLimb;
    out.covariances[i] = part * out.covariances[i];
  }
}

// Whether no eigenvalue exceeds the limit, and the matrix is one of a covariance.
bool known(const Sym3& s, Vec3 point, double limit) {
  if (!finite(point)) return false;
  if (!(s.xx > 0.0) || !(s.xx * s.yy - s.xy * s.xy > 0.0) || !(s.determinant() > 0.0)) {
    return false;
  }
  if (s.trace() <= limit) return true;
  const Sym3 rest{limit - s.xx, -s.xy, -s.xz, limit - s.yy, -s.yz, limit - s.zz};
  return rest.xx > 0.0 && rest.xx * rest.yy - rest.xy * rest.xy > 0.0 && rest.determinant() > 0.0;
}

}  // namespace

std::vector<std::size_t> told(const TracksAt& at, const Setup& setup) {
  std::vector<std::size_t> out;
  const std::vector<Track>& tracks = *at.tracks;
  for (std::size_t k = 0; k < tracks.size(); ++k) {
    if (!tracks[k].confirmed() || at.time_ns - tracks[k].seen_ns > setup.options.max_coast_ns) {
      continue;
    }
    out.push_back(k);
  }
  std::sort(out.begin(), out.end(), [&](std::size_t a, std::size_t b) {
    if (tracks[a].id != tracks[b].id) return tracks[a].id < tracks[b].id;
    return tracks[a].seen_ns > tracks[b].seen_ns;
  });
  // One identity is one person, even while a track takes over from a lost one.
  out.erase(std::unique(out.begin(), out.end(),
                        [&](std::size_t a, std::size_t b) { return tracks[a].id == tracks[b].id; }),
            out.end());
  return out;
}

void report_tracks(const TracksAt& at, const Setup& setup, Snapshot& out) {
  const std::vector<std::size_t> chosen = told(at, setup);
  const std::size_t joints = setup.joints;
  const double limit = setup.options.max_std_m * setup.options.max_std_m;
  out.ids.clear();
  out.points.resize(chosen.size() * joints);
  out.covariances.resize(chosen.size() * joints);
  out.confidences.resize(chosen.size() * joints);
  out.views.resize(chosen.size() * joints);
  copy_joints(at, setup, chosen, out);
  constrain_limbs(at, setup, chosen, out);
  if (at.smoothed) temper(setup, out);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const std::size_t k = chosen[i];
    const std::size_t first = out.ids.size() * joints;
    bool any = false;
    for (std::size_t j = 0; j < joints; ++j) {
      const std::size_t lane = k * joints + j;
      const Vec3 point = out.points[i * joints + j];
      const Sym3 covariance = out.covariances[i * joints + j];
      const bool given = known(covariance, point, limit);
      const int views = given ? __builtin_popcountll((*at.supports)[lane] & at.live) : 0;
      any = any || given;
      out.points[first + j] = given ? point : Vec3{kNaN, kNaN, kNaN};
      out.covariances[first + j] = given ? covariance : Sym3{kNaN, kNaN, kNaN, kNaN, kNaN, kNaN};
      out.confidences[first + j] =
          views > 0 ? static_cast<float>(at.joints->at(kConfidence, lane)) : 0.0F;
      out.views[first + j] = views;
    }
    if (any) out.ids.push_back((*at.tracks)[k].id);
  }
  out.points.resize(out.ids.size() * joints);
  out.covariances.resize(out.ids.size() * joints);
  out.confidences.resize(out.ids.size() * joints);
  out.views.resize(out.ids.size() * joints);
}

Prediction predict_tracks(const TracksAt& at, const Setup& setup, int camera) {
  Prediction out;
  out.joints = static_cast<int>(setup.joints);
  FloatLanes image(kImageRows);
  std::vector<ImageBox> boxes;
  if (at.tracks->empty()) return out;
  take_images(*at.joints, at.tracks->size(), setup, camera, 0.0, image, boxes);
  const std::vector<std::size_t> chosen = told(at, setup);
  // Whoever is not told hides nobody.
  std::vector<char> is_told(boxes.size(), 0);
  for (const std::size_t k : chosen) is_told[k] = 1;
  for (std::size_t k = 0; k < boxes.size(); ++k) {
    if (!is_told[k]) boxes[k] = {};
  }
  const Camera& model = setup.rig.cameras[static_cast<std::size_t>(camera)];
  for (const std::size_t k : chosen) {
    std::array<double, 4> box{kNaN, kNaN, kNaN, kNaN};
    if (boxes[k].inside > 0) {
      const double margin = kBoxMargin * boxes[k].size_px();
      box = {boxes[k].x0 - margin, boxes[k].y0 - margin, boxes[k].x1 + margin,
             boxes[k].y1 + margin};
    }
    out.ids.push_back((*at.tracks)[k].id);
    out.boxes.push_back(box);
    for (std::size_t j = 0; j < setup.joints; ++j) {
      const std::size_t lane = k * setup.joints + j;
      const bool valid = image.at(kDepth, lane) > 0.0;
      const double u = image.at(kU, lane);
      const double v = image.at(kVpx, lane);
      const bool inside = valid && u >= 0.0 && u < model.width && v >= 0.0 && v < model.height;
      const bool visible = inside && !hidden(image, boxes, setup, camera, k, j);
      const double expected = visible ? at.joints->at(kConfidence, lane) : kHiddenConfidence;
      out.keypoints.push_back(static_cast<float>(valid ? u : kNaN));
      out.keypoints.push_back(static_cast<float>(valid ? v : kNaN));
      out.keypoints.push_back(static_cast<float>(valid ? expected : 0.0));
      out.visible.push_back(visible ? 1 : 0);
    }
  }
  return out;
}

std::uint64_t live_cameras(const State& state, std::size_t cameras) {
  std::uint64_t live = 0;
  for (std::size_t c = 0; c < cameras; ++c) {
    if (state.last_frame_ns[c] == kNever) continue;
    const double age = static_cast<double>(state.time_ns - state.last_frame_ns[c]);
    if (age <= kViewIntervals * static_cast<double>(state.interval_ns[c]) + 1e6) {
      live |= std::uint64_t{1} << c;
    }
  }
  return live;
}

}  // namespace tipoff
