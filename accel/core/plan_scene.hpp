// What the tracker knows, as a plan needs it.
#pragma once

#include "plan.hpp"
#include "setup.hpp"
#include "smooth.hpp"
#include "state.hpp"

namespace tipoff {

// The scene at `moment`, which is `state` moved on: with its unconfirmed and lost tracks. A
// detection that no track explains stands where its lowest joint meets the floor.
PlanScene scene_of(const Moment& moment, const State& state, const Setup& setup);

}  // namespace tipoff
