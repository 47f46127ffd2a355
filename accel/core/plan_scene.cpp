#include "plan_scene.hpp"

#include <algorithm>
#include <cmath>

namespace tipoff {
namespace {

// Existence that makes somebody certain, in views (advance.cpp).
constexpr double kCertain = 5.0;
// How existence tells the chance that somebody is where they are expected: certain people are,
// those whom views miss again and again are not.
constexpr double kAtNone = 0.4;
constexpr double kPerExistence = 0.116;
constexpr double kLeastChance = 0.05;
constexpr double kMostChance = 0.98;
// Chance that somebody who was lost this moment is still there.
constexpr double kLostChance = 0.1;
// Chance that a detection that no track explains is somebody, at full confidence.
constexpr double kSuspectChance = 0.4;
// The confidence at which a camera's noise is asked for.
constexpr double kUsualConfidence = 0.7;
// A detection is placed on the floor within this, m, and not beyond that far from its camera.
constexpr double kPlaced_m = 0.25;
constexpr double kFarthest_m = 80.0;
// How far above the floor the lowest joint of a body is, m, while nobody is there to tell.
constexpr double kLowest_m = 0.1;
// Views that are asked about somebody whom one view alone showed.
constexpr int kViewsOfSuspect = 3;
// Suspects that are looked at.
constexpr std::size_t kMostSuspects = 16;
constexpr std::int64_t kUsualInterval_ns = 33'333'333;

double chance_of(const Track& track, const TrackerOptions& options, std::int64_t unseen_ns) {
  if (track.confirmed() && unseen_ns > options.max_coast_ns) {
    const double left = static_cast<double>(options.max_lost_ns - unseen_ns);
    const double span = static_cast<double>(options.max_lost_ns - options.max_coast_ns);
    return span > 0.0 ? std::clamp(kLostChance * left / span, 0.0, kLostChance) : 0.0;
  }
  return std::clamp(kAtNone + kPerExistence * track.existence, kLeastChance, kMostChance);
}

PlanTrack plan_track(const Moment& moment, std::size_t k, const Setup& setup) {
  const Track& track = moment.tracks[k];
  PlanTrack out;
  out.id = track.id;
  out.age_ns = moment.time_ns - track.born_ns;
  out.unseen_ns = moment.time_ns - track.seen_ns;
  out.reported = !track.confirmed() || out.unseen_ns <= setup.options.max_coast_ns;
  out.chance = chance_of(track, setup.options, out.unseen_ns);
  if (!track.confirmed()) {
    out.views_wanted = std::max(1, static_cast<int>(std::ceil(kCertain - track.existence)));
  }
  out.joints.reserve(setup.joints);
  for (std::size_t lane = k * setup.joints; lane < (k + 1) * setup.joints; ++lane) {
    out.joints.push_back({vec3_at(moment.joints, kP, lane), sym3_at(moment.joints, kPP, lane)});
  }
  return out;
}

// Chance that a detection is somebody, by its mean confidence.
double suspicion(const Leftover& leftover) {
  const Frame& frame = *leftover.frame;
  const float* confidence = frame.keypoints.row(2) + frame.lane(leftover.detection);
  double sum = 0.0;
  for (int j = 0; j < frame.joints; ++j) sum += confidence[j];
  const int present = frame.detections[leftover.detection].present;
  const double mean = present > 0 ? sum / present : 0.0;
  return kSuspectChance * mean * mean;
}

// How high the lowest joint of a body is above the world's origin: those who are tracked tell.
double lowest_m(const std::vector<PlanTrack>& tracks) {
  double sum = 0.0;
  double count = 0.0;
  for (const PlanTrack& track : tracks) {
    if (track.id < 0 || !track.reported) continue;
    double lowest = track.joints.front().p.z;
    for (const PlanJoint& joint : track.joints) lowest = std::min(lowest, joint.p.z);
    sum += lowest;
    count += 1.0;
  }
  return count > 0.0 ? sum / count : kLowest_m;
}

// Stands a detection upright where its lowest joint meets the floor, facing its camera. False where
// it does not stand on it.
bool place(const Leftover& leftover, const Rig& rig, double floor_m, PlanTrack& out) {
  const Frame& frame = *leftover.frame;
  const Camera& camera = rig.cameras[static_cast<std::size_t>(frame.camera)];
  const std::size_t first = frame.lane(leftover.detection);
  std::vector<Vec3> rays(static_cast<std::size_t>(frame.joints));
  double range = kFarthest_m;
  Vec3 foot;
  for (std::size_t j = 0; j < rays.size(); ++j) {
    const std::size_t lane = first + j;
    const Vec2 uv{frame.keypoints.at(0, lane), frame.keypoints.at(1, lane)};
    Vec2 normalised;
    if (frame.keypoints.at(2, lane) <= 0.0 || !undistort(camera, uv, normalised)) continue;
    rays[j] = ray_direction(camera, normalised);
    if (!(rays[j].z < 0.0)) continue;
    const double reach = (floor_m - camera.center.z) / rays[j].z;
    if (!(reach > 0.0) || reach >= range) continue;
    range = reach;
    foot = camera.center + reach * rays[j];
  }
  if (range >= kFarthest_m) return false;
  const Vec3 ahead{foot.x - camera.center.x, foot.y - camera.center.y, 0.0};
  const double away = dot(ahead, ahead);
  for (const Vec3& ray : rays) {
    const double slope = dot(ahead, ray);
    const bool meets = slope > 0.0;
    const Vec3 p = meets ? camera.center + (away / slope) * ray : foot;
    out.joints.push_back({p, Sym3::diagonal(kPlaced_m * kPlaced_m)});
  }
  return true;
}

void add_suspects(const State& state, const Rig& rig, PlanScene& scene) {
  const double floor_m = lowest_m(scene.tracks);
  std::size_t count = 0;
  for (const Leftover& leftover : state.leftovers) {
    if (++count > kMostSuspects) break;
    PlanTrack track;
    track.suspected = true;
    track.chance = suspicion(leftover);
    track.views_wanted = kViewsOfSuspect;
    track.age_ns = track.unseen_ns = scene.time_ns - leftover.frame->time_ns;
    if (place(leftover, rig, floor_m, track)) {
      scene.tracks.push_back(std::move(track));
    } else {
      scene.suspects.push_back(
          {leftover.frame->camera, leftover.frame->time_ns, suspicion(leftover)});
    }
  }
}

std::int64_t usual_interval(const State& state, std::size_t cameras) {
  std::int64_t shortest = 0;
  for (std::size_t c = 0; c < cameras; ++c) {
    const std::int64_t interval = state.interval_ns[c];
    if (interval > 0 && (shortest == 0 || interval < shortest)) shortest = interval;
  }
  return shortest > 0 ? shortest : kUsualInterval_ns;
}

}  // namespace

PlanScene scene_of(const Moment& moment, const State& state, const Setup& setup) {
  const std::size_t cameras = setup.rig.cameras.size();
  PlanScene scene;
  scene.time_ns = moment.time_ns;
  scene.interval_ns = usual_interval(state, cameras);
  scene.limbs = setup.options.skeleton.limbs;
  for (std::size_t k = 0; k < moment.tracks.size(); ++k) {
    if (moment.tracks[k].seen_ns != kNever) scene.tracks.push_back(plan_track(moment, k, setup));
  }
  add_suspects(state, setup.rig, scene);
  const int band = NoiseModel::band_of(kUsualConfidence);
  for (std::size_t c = 0; c < cameras; ++c) {
    scene.sigma_px.push_back(std::sqrt(state.noise.variance_px2(static_cast<int>(c), band)));
    scene.last_search_ns.push_back(state.last_search_ns[c]);
  }
  return scene;
}

}  // namespace tipoff
