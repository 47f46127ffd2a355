// From a step of the tracker to the health of the rig.
#pragma once

#include <vector>

#include "associate.hpp"
#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// Tells the state's health what every view missed of the joints just solved and conditioned, and
// what the frames held; tries doubtful frames as other cameras' pictures.
void feed_health(State& state, const Setup& setup, const std::vector<FrameWork>& work,
                 std::size_t frames, const Lanes& solution);

}  // namespace tipoff
