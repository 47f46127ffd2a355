// Which candidates are the ball: gates, votes among the views, and the update of all modes by a
// chosen set. A set is worth what its pixels are likelier under the ball than under clutter.
#pragma once

#include <array>
#include <vector>

#include "ball_state.hpp"

namespace tipoff::ball {

// Chi square of two degrees of freedom that a candidate may lie off a view's expectation.
inline constexpr double kGate = 18.0;
// The same against a point that the views themselves agree on.
inline constexpr double kAgree = 13.8;

// One frame of a group, with what is free in it.
struct View {
  const Frame* frame = nullptr;
  const Camera* camera = nullptr;
  double offset_s = 0.0;  // first row's time after the group's
  double variance_px2 = 1.0;
  std::array<double, Senses::kBands> bands{1.0, 1.0, 1.0, 1.0};  // factors by confidence
  std::array<bool, kMostCandidates> taken{};

  double variance_of(const Candidate& candidate) const {
    return variance_px2 * bands[Senses::band_of(candidate.confidence)];
  }
};

// One candidate a view, -1 for none.
using Choice = std::vector<int>;

struct Sighting {
  Choice choice;
  Modes modes;            // after it
  double evidence = 0.0;  // log likelihood over that of clutter alone
  int views = 0;
  int expected = 0;  // views that look there
};

// The best set for a ball that is expected as `modes` say; `voted` is set where views had to vote.
Sighting sight(const Modes& modes, const std::vector<View>& views, const Senses& senses,
               bool& voted);

// Balls that nobody expected, from what is still free in the views: at most `most`, best first.
struct Find {
  Choice choice;
  Vec3 at;
  Sym3 covariance_m2;
  double evidence = 0.0;
  int views = 0;
};
std::vector<Find> find_new(const std::vector<View>& views, const Senses& senses,
                           std::size_t least_views, std::size_t most);

// The group's information about the position at its time, given the velocity.
Fix fix_of(const Choice& choice, const std::vector<View>& views, Vec3 at, Vec3 velocity);

}  // namespace tipoff::ball
