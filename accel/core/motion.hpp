// How bodies move between observations, and where their unseen joints are likely to be.
#pragma once

#include <vector>

#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// After a longer step than this predictions are wide: they tell little of who is who, and nothing
// of how lively a single joint is.
inline constexpr double kWideStep_s = 0.1;
// Longest step that is predicted in one go, s.
inline constexpr double kLongestStep_s = 2.0;

// Rooms for one step's intermediate rows; what they hold between calls does not matter.
struct MotionScratch {
  Lanes rows{4};
};

// Moves all joints of `from` on by dt seconds into `to`: each by its own motion, pulled towards its
// body's velocity. Everything but the joints' filters is left to the caller. `to` may be `from`'s
// joints themselves.
void move_joints(const State& from, Lanes& to, const Setup& setup, double dt_s,
                 MotionScratch& scratch);

// What is left of a joint's velocity relative to its body's after dt.
double kept_velocity(double dt_s);

// Draws joints towards their usual place on the body, the more the longer no view supported them.
// Well observed joints are hardly touched.
void apply_habits(const std::vector<Track>& tracks, Lanes& joints, const Setup& setup, double dt_s,
                  MotionScratch& scratch);

// Learns the usual places and the limb lengths of track k from the joints seen in this step.
void learn_body(State& state, std::size_t k, const Setup& setup, double dt_s);

// The trunk's velocity, its joints weighed by how well theirs are known, with the variance of one
// of its coordinates.
Vec3 trunk_velocity(const Lanes& joints, std::size_t k, const Setup& setup, double& variance);

// The trunk's centre with the variance of one of its coordinates.
Vec3 trunk_centre(const Lanes& joints, std::size_t k, const Setup& setup, double& variance_m2);

}  // namespace tipoff
