#include "motion.hpp"

#include <algorithm>

namespace tipoff {
namespace {

// Spectral densities of the acceleration by distance from the trunk along the limbs, m^2/s^3.
constexpr std::array<double, 4> kAcceleration{4.0, 10.0, 25.0, 40.0};
constexpr double kRelax_s = 0.4;
// A coasting body loses its speed.
constexpr double kBodyRelax_s = 1.5;

// Habits: how fast they are learned and drawn to, and how they fade.
constexpr double kHabitMemory_s = 1.0;
constexpr double kHabitPull_s = 0.25;
constexpr double kHabitStart_m = 0.12;
constexpr double kHabitFloor_m = 0.025;
constexpr double kHabitFade_m2_per_s = 0.006;
constexpr double kWellKnown_m = 0.08;
constexpr double kNotLearned_m = 0.4;

constexpr double kLimbKnown_m = 0.05;
constexpr double kLimbMemory = 400.0;

int depth_of(const SkeletonSpec& skeleton, std::size_t joint) {
  int depth = 0;
  int at = static_cast<int>(joint);
  while (depth < static_cast<int>(kAcceleration.size()) - 1) {
    if (std::find(skeleton.trunk.begin(), skeleton.trunk.end(), at) != skeleton.trunk.end()) break;
    const int parent = skeleton.parents[static_cast<std::size_t>(at)];
    if (parent < 0) break;
    at = parent;
    ++depth;
  }
  return depth;
}

Vec3 body_velocity(const Track& track, const SkeletonSpec& skeleton) {
  Vec3 sum;
  double total = 0.0;
  for (const int j : skeleton.trunk) {
    const JointFilter& f = track.joints[static_cast<std::size_t>(j)].filter;
    const double w = 1.0 / (f.vv.trace() + 1e-6);
    sum = sum + w * f.v;
    total += w;
  }
  return total > 0.0 ? (1.0 / total) * sum : sum;
}

}  // namespace

bool trunk_centre(const Track& track, const SkeletonSpec& skeleton, Vec3& centre,
                  double& variance_m2) {
  Vec3 sum;
  double total = 0.0;
  for (const int j : skeleton.trunk) {
    const JointFilter& f = track.joints[static_cast<std::size_t>(j)].filter;
    const double w = 3.0 / (f.pp.trace() + 1e-9);
    sum = sum + w * f.p;
    total += w;
  }
  if (!(total > 0.0)) return false;
  centre = (1.0 / total) * sum;
  variance_m2 = 1.0 / total;
  return true;
}

void move_track(Track& track, const SkeletonSpec& skeleton, double dt_s) {
  const double dt = std::clamp(dt_s, 0.0, kLongestStep_s);
  if (dt == 0.0) return;
  const Vec3 body = (1.0 / (1.0 + dt / kBodyRelax_s)) * body_velocity(track, skeleton);
  for (std::size_t j = 0; j < track.joints.size(); ++j) {
    const auto depth = static_cast<std::size_t>(depth_of(skeleton, j));
    track.joints[j].filter.predict(dt, body, {kAcceleration[depth], kRelax_s});
  }
}

void apply_habits(Track& track, const SkeletonSpec& skeleton, std::int64_t now_ns, double dt_s) {
  Vec3 centre;
  double centre_variance = 0.0;
  if (dt_s <= 0.0 || !trunk_centre(track, skeleton, centre, centre_variance)) return;
  const double slowness = kHabitPull_s / std::min(dt_s, kHabitPull_s);
  for (Joint& joint : track.joints) {
    const Habit& habit = joint.habit;
    const double unseen_s =
        joint.seen_ns == kNever ? 0.0 : 1e-9 * static_cast<double>(now_ns - joint.seen_ns);
    const bool known = habit.weight > 0.0;
    const double spread =
        known ? habit.variance + kHabitFade_m2_per_s * unseen_s : kNotLearned_m * kNotLearned_m;
    const double variance = slowness * (spread + centre_variance + kHabitFloor_m * kHabitFloor_m);
    JointFilter& f = joint.filter;
    if (f.pp.trace() * 20.0 < variance) continue;
    Sym3 information;
    Sym3 posterior;
    if (!invert(f.pp, information)) continue;
    if (!invert(information + Sym3::diagonal(1.0 / variance), posterior)) continue;
    const Vec3 target = known ? centre + habit.offset : centre;
    f.condition(f.p + (1.0 / variance) * (posterior * (target - f.p)), posterior);
  }
}

void learn_body(Track& track, const SkeletonSpec& skeleton, std::int64_t now_ns, double dt_s) {
  Vec3 centre;
  double centre_variance = 0.0;
  if (!trunk_centre(track, skeleton, centre, centre_variance)) return;
  const double rate = std::clamp(dt_s / kHabitMemory_s, 0.0, 1.0);
  for (Joint& joint : track.joints) {
    if (joint.seen_ns != now_ns || joint.filter.max_std_m() > kWellKnown_m) continue;
    const Vec3 offset = joint.filter.p - centre;
    Habit& habit = joint.habit;
    if (habit.weight == 0.0) {
      habit = {offset, kHabitStart_m * kHabitStart_m, 1.0};
      continue;
    }
    const Vec3 moved = offset - habit.offset;
    habit.offset = habit.offset + rate * moved;
    habit.variance += rate * (dot(moved, moved) / 3.0 - habit.variance);
  }
  for (std::size_t l = 0; l < skeleton.limbs.size(); ++l) {
    const Joint& a = track.joints[static_cast<std::size_t>(skeleton.limbs[l].first)];
    const Joint& b = track.joints[static_cast<std::size_t>(skeleton.limbs[l].second)];
    if (a.seen_ns != now_ns || b.seen_ns != now_ns) continue;
    const double spread = a.filter.pp.trace() + b.filter.pp.trace();
    if (spread > 6.0 * kLimbKnown_m * kLimbKnown_m) continue;
    LimbLength& limb = track.limbs[l];
    limb.weight = std::min(limb.weight + 1.0, kLimbMemory);
    limb.mean_m += (norm(a.filter.p - b.filter.p) - limb.mean_m) / limb.weight;
  }
}

}  // namespace tipoff
