// New people from detections that belong to nobody, in two or more views.
#pragma once

#include <vector>

#include "state.hpp"

namespace tipoff {

// A person proposed: its detections, at most one a camera.
struct Proposal {
  std::vector<std::size_t> members;  // into the leftovers given
  double cost = 0.0;                 // mean misfit of its members, 0..1
};

// Groups leftovers of different cameras that see one body. Each leftover is used once; the best
// supported proposals come first. The work is bounded by the constants in birth.cpp, whatever comes
// in.
std::vector<Proposal> propose(const std::vector<Leftover>& leftovers, const Rig& rig,
                              const TrackerOptions& options);

// A track made of a proposal, its joints as robust points of all members at `time_ns`.
Track make_track(const Proposal& proposal, const std::vector<Leftover>& leftovers, const Rig& rig,
                 const State& state, const TrackerOptions& options, std::int64_t time_ns);

}  // namespace tipoff
