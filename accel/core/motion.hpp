// How bodies move between observations, and where their unseen joints are likely to be.
#pragma once

#include <vector>

#include "state.hpp"

namespace tipoff {

// Longest step that is predicted in one go, s.
inline constexpr double kLongestStep_s = 2.0;

// Moves a track on by dt seconds: every joint by its own motion, pulled towards the body's.
void move_track(Track& track, const SkeletonSpec& skeleton, double dt_s);

// Draws joints towards their usual place on the body, the more the longer no view supported them.
// Well observed joints are hardly touched.
void apply_habits(Track& track, const SkeletonSpec& skeleton, std::int64_t now_ns, double dt_s);

// Learns the usual places and the limb lengths from the joints seen at `now_ns`.
void learn_body(Track& track, const SkeletonSpec& skeleton, std::int64_t now_ns, double dt_s);

// The trunk's centre with the variance of one of its coordinates; false without a trunk.
bool trunk_centre(const Track& track, const SkeletonSpec& skeleton, Vec3& centre,
                  double& variance_m2);

}  // namespace tipoff
