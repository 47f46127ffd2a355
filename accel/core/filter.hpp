// One joint's filter: position and velocity with their joint covariance.
//
// The motion is a velocity that is pulled towards the body's and disturbed by white acceleration
// (an Ornstein-Uhlenbeck process; Singer's model with the relative velocity as its state). A view
// adds information about the position alone; velocity follows by regression on it.
#pragma once

#include "linalg.hpp"

namespace tipoff {

struct Motion {
  // Spectral density of the acceleration, m^2/s^3.
  double acceleration = 10.0;
  // Time after which a joint's own velocity has given way to the body's, s.
  double relax_s = 0.4;
};

struct JointFilter {
  Vec3 p;
  Vec3 v;
  Sym3 pp;
  Mat3 pv;
  Sym3 vv;

  // At rest relative to the body, with the given standard deviations.
  void start(Vec3 position, Vec3 velocity, const Sym3& covariance, double speed_std_mps);

  // Moves on by dt seconds towards the body's velocity.
  void predict(double dt_s, Vec3 body_velocity, const Motion& motion);

  // Takes over a posterior position with covariance; velocity follows by regression. `posterior`
  // must not exceed `pp`.
  void condition(Vec3 position, const Sym3& posterior);

  // Standard deviation along the worst axis.
  double max_std_m() const;
};

// The largest eigenvalue of a positive semi-definite matrix, by the power of its trace: at most 2 %
// above the true one, no iteration that depends on the data.
double largest_eigenvalue(const Sym3& a);

}  // namespace tipoff
