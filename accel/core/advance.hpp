// One step of the tracker: a state and the camera frames of one moment give the next state.
#pragma once

#include <vector>

#include "associate.hpp"
#include "birth.hpp"
#include "motion.hpp"
#include "reunite.hpp"
#include "setup.hpp"
#include "state.hpp"
#include "update.hpp"

namespace tipoff {

// Frames this close in time are solved together, each at its own time.
inline constexpr std::int64_t kGroupWindow_ns = 4'000'000;

// Rooms for `advance`; what they hold between calls does not matter.
struct Workspace {
  std::vector<FrameWork> frames;
  MotionScratch motion;
  MatchScratch match;
  UpdateScratch update;
  BirthScratch birth;
  ReuniteScratch reunite;
  std::vector<std::size_t> sure;  // tentative tracks that are to become public
};

// Gives the state after all `frames`, from the one before them. `frames` are ordered by time and
// camera, at most one a camera; `assigned` receives one entry a frame.
void advance(const State& before, State& after, const Setup& setup,
             const std::vector<FramePtr>& frames, std::vector<Assigned>& assigned,
             Workspace& workspace);

}  // namespace tipoff
