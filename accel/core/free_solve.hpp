// Points from views through the full camera model, many at once: with a prior where the linear
// solve went too far, without one where the prediction must have been wrong or nothing is known.
// `triangulate` is no substitute: it has neither lanes, nor views at their own times, nor a prior,
// and its rule of rejecting views is its callers' contract.
#pragma once

#include <vector>

#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// Pairs of views that are tried for a first point.
inline constexpr int kMaxPairs = 6;

// Joints, a lane each, with what every view measured of them; and the result.
struct FreeProblem {
  // Makes room for `lanes` joints in `frames` views; every view starts empty.
  void reset(std::size_t frames, std::size_t lanes);

  std::size_t lanes = 0;
  std::vector<int> cameras;  // by view
  std::vector<Lanes> views;  // by view: kZu, kZv, kInv, then seconds after the state's time, r2
  Lanes start{3};            // where to begin, m
  Lanes velocity{3};         // m/s
  Lanes prior{9};            // point and information
  Lanes solution{kSolutionRows};

  // Intermediate.
  std::vector<Lanes> rays;  // by view: direction and whether there is one
  Lanes trial{5};           // point, whether it is one, its cost
  Lanes best{1};

  static constexpr int kTime = 3;
  static constexpr int kResidual = 4;
  static constexpr int kRows = 5;
};

// Gauss-Newton from `start` with the prior.
void solve_with_prior(FreeProblem& problem, const Setup& setup);

// The point that most views agree on, from hypotheses of pairs of views, the best one refined;
// `start` receives it. kInliers is below 2 where no two views agree.
void solve_without_prior(FreeProblem& problem, const Setup& setup);

}  // namespace tipoff
