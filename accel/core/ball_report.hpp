// What is told of the ball: one Gaussian, the phase of play, its arc and its bounces.
#pragma once

#include <span>

#include "ball_arc.hpp"
#include "ball_state.hpp"

namespace tipoff::ball {

enum class Phase : int { kUnknown = 0, kHeld = 1, kDribbled = 2, kFlight = 3 };

// Somebody's wrist at the time that is asked for.
struct Wrist {
  std::int64_t person = -1;
  Vec3 at;
  Sym3 covariance_m2;
};

struct Report {
  bool known = false;
  Vec3 position;
  Vec3 velocity;
  Sym3 covariance_m2;
  Sym3 velocity_covariance_m2ps2;
  Phase phase = Phase::kUnknown;
  std::int64_t holder = -1;  // who holds or dribbles it
  int views = 0;
  double flight = 0.0;     // probability that it flies
  double in_hand_s = 0.0;  // how long it has not been flying
  std::int64_t seen_ns = kLongAgo;
  Arc arc;
  std::vector<Bounce> bounces;
};

// The ball at `time_ns`, from the state before it. `wrists` may be empty.
Report report(const State& state, std::int64_t time_ns, std::span<const Wrist> wrists,
              const Options& options);

}  // namespace tipoff::ball
