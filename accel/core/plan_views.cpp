#include "plan_views.hpp"

#include <algorithm>
#include <cmath>

#include "limbs.hpp"

namespace tipoff {
namespace {

// Part of the joints that have to be in the frame for a view to be worth asking about.
constexpr double kLeastInside = 0.3;
// A joint that is there and free is missing this often, or not what it should be.
constexpr double kFreeWeight = 0.95;
// What is left of a joint's information behind somebody: most such joints are missing or are the
// occluder's, and the rest are noisier.
constexpr double kHiddenWeight = 0.1;
// Chance that a pose shows the neighbour where two boxes are the same.
constexpr double kWrongPerson = 0.3;
// Pose models err in proportion to how large they see somebody: a camera's noise is that of its
// people on average, and scales with their size between these.
constexpr double kSmallest = 0.4;
constexpr double kLargest = 2.5;

// Intersection over union of two boxes.
double overlap(const PlanView& a, const PlanView& b) {
  const double w = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  const double h = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  if (!(w > 0.0) || !(h > 0.0)) return 0.0;
  const double areas = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0);
  return w * h / std::max(areas - w * h, 1e-9);
}

}  // namespace

PlanViews::PlanViews(const PlanScene& scene, const Rig& rig, const std::vector<char>& available)
    : tracks_(scene.tracks.size()) {
  for (const PlanTrack& track : scene.tracks) joints_ = std::max(joints_, track.joints.size());
  if (tracks_ == 0 || joints_ == 0) return;
  const std::size_t cameras = rig.cameras.size();
  views_.resize(cameras * tracks_);
  information_.resize(cameras * tracks_ * joints_);
  images_.resize(tracks_ * joints_);
  weights_.resize(tracks_ * joints_);
  for (std::size_t c = 0; c < cameras; ++c) {
    if (!available[c]) continue;
    look(scene, rig.cameras[c], c);
    crowd(scene, rig.cameras[c], c);
  }
}

void PlanViews::look(const PlanScene& scene, const Camera& camera, std::size_t c) {
  for (std::size_t k = 0; k < tracks_; ++k) {
    const PlanTrack& track = scene.tracks[k];
    PlanView& view = views_[c * tracks_ + k];
    view.x0 = view.y0 = 1e30;
    view.x1 = view.y1 = -1e30;
    double depth = 0.0;
    int valid = 0;
    int inside = 0;
    for (std::size_t j = 0; j < track.joints.size(); ++j) {
      Image& image = images_[k * joints_ + j];
      image.inside = false;
      Projection p;
      if (!project(camera, track.joints[j].p, p)) continue;
      image.uv = p.uv;
      image.depth = p.depth;
      image.inside =
          p.uv.x >= 0.0 && p.uv.x < camera.width && p.uv.y >= 0.0 && p.uv.y < camera.height;
      Sym3& information = information_[(c * tracks_ + k) * joints_ + j];
      information.add_outer(p.du, 1.0);
      information.add_outer(p.dv, 1.0);
      view.x0 = std::min(view.x0, p.uv.x);
      view.y0 = std::min(view.y0, p.uv.y);
      view.x1 = std::max(view.x1, p.uv.x);
      view.y1 = std::max(view.y1, p.uv.y);
      depth += p.depth;
      ++valid;
      if (image.inside) ++inside;
    }
    view.askable = track.reported && inside > 0 &&
                   inside >= kLeastInside * static_cast<double>(track.joints.size());
    if (valid == 0) continue;
    view.depth = depth / valid;
    view.px_per_m = camera.k.fy / view.depth;
    view.chance = 1.0;
  }
}

void PlanViews::crowd(const PlanScene& scene, const Camera& camera, std::size_t c) {
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    weights_[i] = images_[i].inside ? kFreeWeight : 0.0;
  }
  PlanView* row = &views_[c * tracks_];
  for (std::size_t back = 0; back < tracks_; ++back) {
    if (!row[back].askable) continue;
    double mixed = 0.0;
    for (std::size_t front = 0; front < tracks_; ++front) {
      if (front == back || !(row[front].px_per_m > 0.0)) continue;
      mixed += overlap(row[back], row[front]);
      shade(scene, camera, c, back, front);
    }
    row[back].chance = 1.0 - kWrongPerson * std::min(mixed, 1.0);
  }
  double heights = 0.0;
  double people = 0.0;
  for (std::size_t k = 0; k < tracks_; ++k) {
    if (!row[k].askable) continue;
    heights += row[k].height_px();
    people += 1.0;
  }
  for (std::size_t k = 0; k < tracks_; ++k) {
    if (!row[k].askable) continue;
    const std::size_t joints = scene.tracks[k].joints.size();
    const double size = std::clamp(row[k].height_px() * people / heights, kSmallest, kLargest);
    const double sigma = scene.sigma_px[c] * size;
    const double scale = 1.0 / (sigma * sigma);
    double sum = 0.0;
    for (std::size_t j = 0; j < joints; ++j) {
      const double weight = weights_[k * joints_ + j];
      Sym3& information = information_[(c * tracks_ + k) * joints_ + j];
      information = weight * scale * information;
      sum += weight;
    }
    row[k].open = sum / static_cast<double>(joints);
  }
}

void PlanViews::shade(const PlanScene& scene, const Camera&, std::size_t c, std::size_t back,
                      std::size_t front) {
  const PlanView& mine = views_[c * tracks_ + back];
  const PlanView& other = views_[c * tracks_ + front];
  if (other.depth > mine.depth + kInFront_m + 0.5) return;
  const double radius = kLimbRadius_m * other.px_per_m;
  const double reach = 2.0 * radius;
  if (mine.x0 > other.x1 + reach || mine.x1 < other.x0 - reach || mine.y0 > other.y1 + reach ||
      mine.y1 < other.y0 - reach) {
    return;
  }
  for (std::size_t j = 0; j < scene.tracks[back].joints.size(); ++j) {
    const Image& image = images_[back * joints_ + j];
    if (!image.inside || other.depth > image.depth + kInFront_m) continue;
    if (image.uv.x < other.x0 - reach || image.uv.x > other.x1 + reach ||
        image.uv.y < other.y0 - reach || image.uv.y > other.y1 + reach) {
      continue;
    }
    const double in_front = other.depth + kInFront_m < image.depth ? 1.0 : 0.5;
    const double hidden = in_front * covered(scene, front, image.uv, radius);
    double& weight = weights_[back * joints_ + j];
    weight = std::min(weight, kFreeWeight + (kHiddenWeight - kFreeWeight) * hidden);
  }
}

// 1 within a limb's radius, 0 from twice that on.
double PlanViews::covered(const PlanScene& scene, std::size_t front, Vec2 uv,
                          double radius_px) const {
  double nearest = 2.0 * radius_px;
  for (const auto& [a, b] : scene.limbs) {
    const Image& from = images_[front * joints_ + static_cast<std::size_t>(a)];
    const Image& to = images_[front * joints_ + static_cast<std::size_t>(b)];
    if (!from.inside || !to.inside) continue;
    nearest = std::min(nearest, std::sqrt(segment_distance2(uv, from.uv, to.uv)));
  }
  return std::clamp(2.0 - nearest / radius_px, 0.0, 1.0);
}

}  // namespace tipoff
