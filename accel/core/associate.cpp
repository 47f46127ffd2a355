#include "associate.hpp"

#include <algorithm>

#include "assignment.hpp"

namespace tipoff {
namespace {

// Squared misfit, in variances, at which a joint counts half.
constexpr double kHalfMisfit = 9.0;
// Part of a person's size in pixels that no detector is better than.
constexpr double kModelError = 0.015;
// Part of a person's size from which an uncertain joint says little about who it is.
constexpr double kVague = 0.1;
// What a wholly vague match costs.
constexpr double kVaguePenalty = 0.25;
// A swapped detection must fit this much better than it does as it is.
constexpr double kFlipMargin = 0.15;
// A detection that fits worse than this fits no better mirrored.
constexpr double kHopeless = 0.95;
// How far boxes may lie apart, in sizes, before nobody looks closer.
constexpr double kReach = 0.5;
// Half the width of a limb, m, and how much nearer an occluder must be.
constexpr double kBodyRadius_m = 0.14;
constexpr double kInFront_m = 0.3;

double variance_px2(const Projection& image, const JointFilter& filter) {
  const Vec3 pu = filter.pp * image.du;
  const Vec3 pv = filter.pp * image.dv;
  return 0.5 * (dot(image.du, pu) + dot(image.dv, pv));
}

double segment_distance2(Vec2 p, Vec2 a, Vec2 b) {
  const Vec2 ab = b - a;
  const double length2 = dot(ab, ab);
  const double s = length2 > 0.0 ? std::clamp(dot(p - a, ab) / length2, 0.0, 1.0) : 0.0;
  const Vec2 d = p - (a + s * ab);
  return dot(d, d);
}

bool reachable(const TrackImage& image, const Detection& d) {
  const double reach = kReach * std::max(image.size_px(), d.size_px()) + 40.0;
  return d.x0 < image.x1 + reach && d.x1 > image.x0 - reach && d.y0 < image.y1 + reach &&
         d.y1 > image.y0 - reach;
}

class Matcher {
 public:
  Matcher(const State& state, const TrackerOptions& options, const Frame& frame,
          const std::vector<TrackImage>& images)
      : state_(state), options_(options), frame_(frame), images_(images) {
    const std::size_t n = frame.detections.size();
    out_.track_of.assign(n, -1);
    out_.flipped.assign(n, 0);
    out_.explained.assign(n, 0);
  }

  Match run() {
    costs_.resize(state_.tracks.size() * frame_.detections.size());
    flips_.assign(costs_.size(), 0);
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) fill_row(k);
    stage(true);
    stage(false);
    mark_explained();
    return std::move(out_);
  }

 private:
  std::size_t at(std::size_t k, std::size_t n) const { return k * frame_.detections.size() + n; }

  bool takes_part(const Track& track, bool confirmed) const {
    if (track.confirmed() != confirmed) return false;
    return !confirmed || frame_.time_ns - track.seen_ns <= options_.max_coast_ns;
  }

  void fill_row(std::size_t k) {
    const TrackImage& image = images_[k];
    const bool lost = !takes_part(state_.tracks[k], state_.tracks[k].confirmed());
    for (std::size_t n = 0; n < frame_.detections.size(); ++n) {
      double& cost = costs_[at(k, n)];
      cost = kForbidden;
      if (lost || image.valid == 0 || !reachable(image, frame_.detections[n])) continue;
      cost = fit(image, n, nullptr);
      if (cost > kFlipMargin && cost < kHopeless) {
        const double swapped = fit(image, n, &options_.skeleton.mirror);
        if (swapped + kFlipMargin < cost) {
          cost = swapped + 0.5 * kFlipMargin;
          flips_[at(k, n)] = 1;
        }
      }
      if (cost >= kMisfitGate) cost = kForbidden;
    }
  }

  double fit(const TrackImage& image, std::size_t n, const std::vector<int>* mirror) const {
    return misfit(image, frame_.detections[n], frame_.of(n), frame_.joints, state_.noise,
                  frame_.camera, mirror);
  }

  // One assignment over the tracks of one kind and the detections still free.
  void stage(bool confirmed) {
    rows_.clear();
    columns_.clear();
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      if (takes_part(state_.tracks[k], confirmed)) rows_.push_back(k);
    }
    for (std::size_t n = 0; n < frame_.detections.size(); ++n) {
      if (out_.track_of[n] < 0) columns_.push_back(n);
    }
    if (rows_.empty() || columns_.empty()) return;
    table_.resize(rows_.size() * columns_.size());
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      for (std::size_t c = 0; c < columns_.size(); ++c) {
        table_[r * columns_.size() + c] = costs_[at(rows_[r], columns_[c])];
      }
    }
    assign(table_, static_cast<int>(rows_.size()), static_cast<int>(columns_.size()), kMisfitGate,
           column_of_);
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      if (column_of_[r] < 0) continue;
      const std::size_t n = columns_[static_cast<std::size_t>(column_of_[r])];
      out_.track_of[n] = static_cast<int>(rows_[r]);
      out_.flipped[n] = flips_[at(rows_[r], n)];
    }
  }

  void mark_explained() {
    for (std::size_t n = 0; n < frame_.detections.size(); ++n) {
      if (out_.track_of[n] >= 0) continue;
      for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
        if (costs_[at(k, n)] < kMisfitGate) out_.explained[n] = 1;
      }
    }
  }

  const State& state_;
  const TrackerOptions& options_;
  const Frame& frame_;
  const std::vector<TrackImage>& images_;
  Match out_;
  std::vector<double> costs_;
  std::vector<char> flips_;
  std::vector<std::size_t> rows_;
  std::vector<std::size_t> columns_;
  std::vector<double> table_;
  std::vector<int> column_of_;
};

}  // namespace

void image_of(const Track& track, const Camera& camera, double offset_s, TrackImage& out) {
  const std::size_t joints = track.joints.size();
  out.points.assign(joints, {});
  out.valid = 0;
  out.inside = 0;
  out.x0 = out.y0 = 1e30;
  out.x1 = out.y1 = -1e30;
  out.depth = 0.0;
  for (std::size_t j = 0; j < joints; ++j) {
    const JointFilter& filter = track.joints[j].filter;
    TrackImage::Point& point = out.points[j];
    Projection image;
    if (!project(camera, filter.p + offset_s * filter.v, image)) continue;
    if (camera.readout_ns != 0) {
      const double dt = offset_s + 1e-9 * static_cast<double>(row_delay_ns(camera, image.uv.y));
      if (!project(camera, filter.p + dt * filter.v, image)) continue;
    }
    point.valid = true;
    point.uv = image.uv;
    point.depth = image.depth;
    point.variance_px2 = variance_px2(image, filter);
    point.inside = image.uv.x >= 0.0 && image.uv.x < camera.width && image.uv.y >= 0.0 &&
                   image.uv.y < camera.height;
    ++out.valid;
    if (point.inside) ++out.inside;
    out.x0 = std::min(out.x0, image.uv.x);
    out.y0 = std::min(out.y0, image.uv.y);
    out.x1 = std::max(out.x1, image.uv.x);
    out.y1 = std::max(out.y1, image.uv.y);
    out.depth += image.depth;
  }
  if (out.valid > 0) out.depth /= out.valid;
}

bool hidden(const std::vector<TrackImage>& images, const SkeletonSpec& skeleton,
            const Camera& camera, std::size_t k, std::size_t j) {
  const TrackImage::Point& point = images[k].points[j];
  for (std::size_t other = 0; other < images.size(); ++other) {
    const TrackImage& front = images[other];
    if (other == k || front.valid == 0 || front.depth + kInFront_m > point.depth) continue;
    const double radius = kBodyRadius_m * camera.k.fy / front.depth;
    if (point.uv.x < front.x0 - radius || point.uv.x > front.x1 + radius ||
        point.uv.y < front.y0 - radius || point.uv.y > front.y1 + radius) {
      continue;
    }
    for (const auto& [a, b] : skeleton.limbs) {
      const auto& pa = front.points[static_cast<std::size_t>(a)];
      const auto& pb = front.points[static_cast<std::size_t>(b)];
      if (pa.valid && pb.valid && segment_distance2(point.uv, pa.uv, pb.uv) < radius * radius) {
        return true;
      }
    }
  }
  return false;
}

double misfit(const TrackImage& image, const Detection& detection, const Keypoint* keypoints,
              int joints, const NoiseModel& noise, int camera, const std::vector<int>* mirror) {
  const double size = std::max(std::min(image.size_px(), detection.size_px()), 1.0);
  const double floor = kModelError * kModelError * size * size;
  const double vague = kVague * kVague * size * size;
  double sum = 0.0;
  double total = 0.0;
  int common = 0;
  for (int j = 0; j < joints; ++j) {
    const int source = mirror == nullptr ? j : (*mirror)[static_cast<std::size_t>(j)];
    const Keypoint& keypoint = keypoints[source];
    const TrackImage::Point& point = image.points[static_cast<std::size_t>(j)];
    if (keypoint.confidence <= 0.0 || !point.valid) continue;
    const Vec2 e = keypoint.uv - point.uv;
    const double variance =
        noise.variance_px2(camera, keypoint.confidence) + point.variance_px2 + floor;
    const double r2 = dot(e, e) / (2.0 * variance);
    const double weight = 1.0 / (1.0 + point.variance_px2 / vague);
    sum += weight * r2 / (r2 + kHalfMisfit);
    total += weight;
    ++common;
  }
  if (common < std::min(3, joints) || !(total > 0.0)) return kForbidden;
  return sum / total + kVaguePenalty * (1.0 - total / common);
}

Match match(const State& state, const TrackerOptions& options, const Frame& frame,
            const std::vector<TrackImage>& images) {
  return Matcher(state, options, frame, images).run();
}

}  // namespace tipoff
