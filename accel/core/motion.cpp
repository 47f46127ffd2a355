#include "motion.hpp"

#include <algorithm>

namespace tipoff {
namespace {

// Spectral densities of the acceleration by distance from the trunk along the limbs, m^2/s^3.
constexpr std::array<double, Liveliness::kKinds> kAcceleration{4.0, 10.0, 25.0, 40.0};
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

Vec3 body_velocity(const Lanes& joints, std::size_t first, const SkeletonSpec& skeleton,
                   double& total) {
  Vec3 sum;
  total = 0.0;
  for (const int j : skeleton.trunk) {
    const std::size_t lane = first + static_cast<std::size_t>(j);
    const double trace = joints.at(kVV, lane) + joints.at(kVV + 3, lane) + joints.at(kVV + 5, lane);
    const double w = 1.0 / (trace + 1e-6);
    sum = sum + w * vec3_at(joints, kV, lane);
    total += w;
  }
  return total > 0.0 ? (1.0 / total) * sum : sum;
}

}  // namespace

double kept_velocity(double dt_s) {
  return 1.0 / (1.0 + std::clamp(dt_s, 0.0, kLongestStep_s) / kRelax_s);
}

void move_joints(const State& from, Lanes& to, const Setup& setup, double dt_s,
                 MotionScratch& scratch) {
  const double dt = std::clamp(dt_s, 0.0, kLongestStep_s);
  const std::size_t joints = setup.joints;
  const std::size_t lanes = from.tracks.size() * joints;
  scratch.rows.reserve(lanes);
  double* q = scratch.rows.row(0);
  std::array<double*, 3> body{scratch.rows.row(1), scratch.rows.row(2), scratch.rows.row(3)};
  std::array<double, Liveliness::kKinds> density{};
  for (std::size_t i = 0; i < density.size(); ++i) {
    density[i] = kAcceleration[i] * from.liveliness.factor[i];
  }
  const double fading = 1.0 / (1.0 + dt / kBodyRelax_s);
  for (std::size_t k = 0; k < from.tracks.size(); ++k) {
    const std::size_t first = k * joints;
    double total = 0.0;
    const Vec3 v = fading * body_velocity(from.joints, first, setup.options.skeleton, total);
    for (std::size_t j = 0; j < joints; ++j) {
      q[first + j] =
          density[static_cast<std::size_t>(setup.kinds[j])] * from.joints.at(kLevel, first + j);
      body[0][first + j] = v.x;
      body[1][first + j] = v.y;
      body[2][first + j] = v.z;
    }
  }
  for (std::size_t i = lanes; i < padded(lanes); ++i)
    q[i] = body[0][i] = body[1][i] = body[2][i] = 0.0;
  PredictArgs args{};
  args.from = from.joints.data();
  args.from_stride = static_cast<long>(from.joints.stride());
  args.to = to.data();
  args.to_stride = static_cast<long>(to.stride());
  args.lanes = static_cast<long>(padded(lanes));
  args.dt_s = dt;
  args.keep = kept_velocity(dt);
  args.q = q;
  for (std::size_t i = 0; i < 3; ++i) args.body[i] = body[i];
  setup.kernels->predict(args);
}

Vec3 trunk_velocity(const Lanes& joints, std::size_t k, const Setup& setup, double& variance) {
  double total = 0.0;
  const Vec3 v = body_velocity(joints, k * setup.joints, setup.options.skeleton, total);
  variance = 1.0 / (3.0 * total);
  return v;
}

Vec3 trunk_centre(const Lanes& joints, std::size_t k, const Setup& setup, double& variance_m2) {
  Vec3 sum;
  double total = 0.0;
  for (const int j : setup.options.skeleton.trunk) {
    const std::size_t lane = k * setup.joints + static_cast<std::size_t>(j);
    const double w = 3.0 / (spread_at(joints, lane) + 1e-9);
    sum = sum + w * vec3_at(joints, kP, lane);
    total += w;
  }
  variance_m2 = 1.0 / total;
  return (1.0 / total) * sum;
}

void apply_habits(const std::vector<Track>& tracks, Lanes& joints, const Setup& setup, double dt_s,
                  MotionScratch& scratch) {
  if (dt_s <= 0.0) return;
  const double slowness = kHabitPull_s / std::min(dt_s, kHabitPull_s);
  const std::size_t lanes = tracks.size() * setup.joints;
  scratch.rows.reserve(lanes);
  double* variances = scratch.rows.row(3);
  bool any = false;
  for (std::size_t k = 0; k < tracks.size(); ++k) {
    double centre_variance = 0.0;
    const Vec3 centre = trunk_centre(joints, k, setup, centre_variance);
    for (std::size_t j = 0; j < setup.joints; ++j) {
      const std::size_t lane = k * setup.joints + j;
      const bool known = joints.at(kHabitWeight, lane) > 0.0;
      const double spread =
          known ? joints.at(kHabitVar, lane) + kHabitFade_m2_per_s * joints.at(kUnseen, lane)
                : kNotLearned_m * kNotLearned_m;
      const double variance = slowness * (spread + centre_variance + kHabitFloor_m * kHabitFloor_m);
      const bool wanted = spread_at(joints, lane) * 20.0 >= variance;
      variances[lane] = wanted ? variance : 0.0;
      any = any || wanted;
      scratch.rows.at(0, lane) = centre.x + (known ? joints.at(kHabit, lane) : 0.0);
      scratch.rows.at(1, lane) = centre.y + (known ? joints.at(kHabit + 1, lane) : 0.0);
      scratch.rows.at(2, lane) = centre.z + (known ? joints.at(kHabit + 2, lane) : 0.0);
    }
  }
  if (!any) return;
  for (std::size_t i = lanes; i < padded(lanes); ++i) variances[i] = 0.0;
  PullArgs args{};
  args.state = joints.data();
  args.stride = static_cast<long>(joints.stride());
  args.lanes = static_cast<long>(padded(lanes));
  for (std::size_t i = 0; i < 3; ++i) args.target[i] = scratch.rows.row(i);
  args.variance = variances;
  setup.kernels->pull(args);
}

void learn_body(State& state, std::size_t k, const Setup& setup, double dt_s) {
  double centre_variance = 0.0;
  Lanes& joints = state.joints;
  const Vec3 centre = trunk_centre(joints, k, setup, centre_variance);
  const double rate = std::clamp(dt_s / kHabitMemory_s, 0.0, 1.0);
  const std::size_t first = k * setup.joints;
  for (std::size_t lane = first; lane < first + setup.joints; ++lane) {
    const bool seen = state.supports[lane] != 0 && joints.at(kUnseen, lane) == 0.0;
    if (!seen || spread_at(joints, lane) > 1.5 * kWellKnown_m * kWellKnown_m) continue;
    const Vec3 offset = vec3_at(joints, kP, lane) - centre;
    if (joints.at(kHabitWeight, lane) == 0.0) {
      set_vec3(joints, kHabit, lane, offset);
      joints.at(kHabitVar, lane) = kHabitStart_m * kHabitStart_m;
      joints.at(kHabitWeight, lane) = 1.0;
      continue;
    }
    const Vec3 habit = vec3_at(joints, kHabit, lane);
    const Vec3 moved = offset - habit;
    set_vec3(joints, kHabit, lane, habit + rate * moved);
    double& variance = joints.at(kHabitVar, lane);
    variance += rate * (dot(moved, moved) / 3.0 - variance);
  }
  for (std::size_t l = 0; l < setup.limbs; ++l) {
    const auto& [from, to] = setup.options.skeleton.limbs[l];
    const std::size_t a = first + static_cast<std::size_t>(from);
    const std::size_t b = first + static_cast<std::size_t>(to);
    if (state.supports[a] == 0 || state.supports[b] == 0) continue;
    if (joints.at(kUnseen, a) != 0.0 || joints.at(kUnseen, b) != 0.0) continue;
    const double spread = spread_at(joints, a) + spread_at(joints, b);
    if (spread > 6.0 * kLimbKnown_m * kLimbKnown_m) continue;
    double& weight = state.limbs.at(kLengthWeight, k * setup.limbs + l);
    double& mean = state.limbs.at(kLength, k * setup.limbs + l);
    weight = std::min(weight + 1.0, kLimbMemory);
    const double length = norm(vec3_at(joints, kP, a) - vec3_at(joints, kP, b));
    if (!(length > 0.02)) continue;
    // Noise across the limb makes it look longer by its variance over twice the length.
    const double apart = length - spread / (3.0 * length) - mean;
    mean += apart / weight;
    double& variance = state.limbs.at(kLengthVar, k * setup.limbs + l);
    if (weight > 1.0) variance += (apart * apart - variance) / (weight - 1.0);
  }
}

}  // namespace tipoff
