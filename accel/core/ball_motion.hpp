// How the ball moves: flight with gravity and drag and bounces on the floor, and three degrees of
// being moved by somebody, mixed as one (interacting multiple models, Blom and Bar-Shalom 1988).
#pragma once

#include "ball_state.hpp"

namespace tipoff::ball {

inline constexpr double kGravity_mps2 = 9.81;

// Gravity and quadratic drag.
Vec3 free_acceleration(Vec3 velocity, const Options& options);

// One step of free flight of any sign, midpoint rule; no floor.
void fly(Vec3& position, Vec3& velocity, Vec3 extra_mps2, double step_s, const Options& options);

// The modes some time later, with changes of mode on the way.
void move_modes(Modes& modes, double seconds, const Options& options);

// Modes of a ball that was just found at `at`.
Modes new_modes(Vec3 at, const Sym3& covariance_m2, double speed_std_mps);

// All modes as one Gaussian of position and velocity.
struct Moments {
  Vec3 p;
  Vec3 v;
  Sym3 pp;
  Sym3 vv;
};
Moments moments(const Modes& modes);

// The whole acceleration of a mode's mean.
Vec3 acceleration_of(const Mode& mode, std::size_t kind, const Options& options);

}  // namespace tipoff::ball
