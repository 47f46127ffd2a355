// The state at a time, from what was known before and what came after.
#pragma once

#include <deque>
#include <vector>

#include "motion.hpp"
#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// Tracks at one time, apart from any state.
struct Moment {
  std::int64_t time_ns = kNever;
  std::vector<Track> tracks;
  Lanes joints{kStateRows};
  std::vector<std::uint64_t> supports;
  Lanes limbs{kLimbRows};
};

// Rooms for smoothing; what they hold between calls does not matter.
struct SmoothScratch {
  Lanes predicted{kFilterRows};
  Lanes later{kFilterRows};
  Lanes result{kFilterRows};
  Lanes cut{1};
  MotionScratch motion;
};

// `state` moved on to a later time by prediction alone.
void predict_moment(const State& state, const Setup& setup, std::int64_t time_ns,
                    SmoothScratch& scratch, Moment& out);

// The moment at `time_ns`, at or after `states.front()` and before `states.back()`, from all of
// `states`: forward from the newest that is not after it, then backwards through all later ones
// (Rauch, Tung and Striebel). The tracks are those of the newest state not after `time_ns`, with
// the identities they have in the last.
void smooth_moment(const std::vector<const State*>& states, const Setup& setup,
                   std::int64_t time_ns, SmoothScratch& scratch, Moment& out);

}  // namespace tipoff
