// One step of the ball tracker: a group of frames is worked into the state.
#pragma once

#include <span>

#include "ball_state.hpp"

namespace tipoff::ball {

// Works in frames of about one time, sorted by time and camera, no camera twice.
void advance(State& state, const Rig& rig, const Options& options, std::span<const FramePtr> group);

// The state before the first frame.
State start(const Options& options);

// A track that is believed to be a ball.
bool believed(const Track& track);

}  // namespace tipoff::ball
