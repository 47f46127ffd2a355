// One step of the tracker: a state and the camera frames of one moment give the next state.
#pragma once

#include <vector>

#include "state.hpp"

namespace tipoff {

// Frames this close in time are solved together, each at its own time.
inline constexpr std::int64_t kGroupWindow_ns = 4'000'000;

// Moves `state` on to the time of the last frame and works all frames in. `frames` are ordered by
// time and camera, at most one a camera; `assigned` receives one entry a frame.
void advance(State& state, const Rig& rig, const TrackerOptions& options,
             const std::vector<FramePtr>& frames, std::vector<Assigned>& assigned);

}  // namespace tipoff
