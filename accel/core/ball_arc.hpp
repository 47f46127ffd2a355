// What a track's remembered fixes say together: the arc of the flight so far with the time it
// began, and when the ball met the floor.
#pragma once

#include "ball_state.hpp"

namespace tipoff::ball {

struct Arc {
  bool valid = false;
  std::int64_t release_ns = 0;
  double release_std_s = 0.0;
  Vec3 release_p;
  Vec3 release_v;
  bool from_floor = false;  // it began with a bounce
  int fixes = 0;
  double chi2 = 0.0;  // of the fixes' positions, a degree of freedom
  // At the newest fix.
  std::int64_t time_ns = 0;
  Vec3 p;
  Vec3 v;
  std::array<double, 36> covariance{};  // of p and v there, by rows
  std::int64_t landing_ns = kLongAgo;   // when it meets the floor, if nothing comes between
};

// The arc through the newest fixes; invalid where they are no flight.
Arc fit_arc(const Track& track, const Options& options);

// Looks for a bounce among the newest fixes and refines the last one; how many are new.
int note_bounces(Track& track, const Options& options);

}  // namespace tipoff::ball
