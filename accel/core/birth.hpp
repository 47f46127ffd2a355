// New people from detections that belong to nobody, in two or more views.
#pragma once

#include <vector>

#include "free_solve.hpp"
#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// A person proposed: its detections, at most one a camera.
struct Proposal {
  std::vector<std::size_t> members;  // into the leftovers given
  double cost = 0.0;                 // mean misfit of its members, 0..1
};

// Rooms for `propose` and `bear`; what they hold between calls does not matter.
struct BirthScratch {
  struct Candidate {
    std::size_t leftover = 0;
    int camera = 0;
    double size_px = 1.0;
    Vec3 middle;  // direction of the ray through the detection's middle
  };
  struct Pair {
    std::size_t a = 0;
    std::size_t b = 0;
    double cost = 0.0;
  };
  std::vector<Candidate> candidates;
  FloatLanes rays{4};
  std::vector<float> costs;  // candidates x candidates
  std::vector<Pair> pairs;
  std::vector<char> used;
  FreeProblem problem;
};

// Groups leftovers of different cameras that see one body. Each leftover is used once; those of
// three views and more come first. The work is bounded by the constants in birth.cpp, whatever
// comes in.
std::vector<Proposal> propose(const State& state, const Setup& setup, BirthScratch& scratch);

// Appends a track made of a proposal, its joints as robust points of all members at the state's
// time; false where no joint has one.
bool make_track(State& state, const Proposal& proposal, const Setup& setup, BirthScratch& scratch);

}  // namespace tipoff
