// From what a caller hands over to a frame that the tracker keeps.
#pragma once

#include "setup.hpp"
#include "state.hpp"
#include "tracker.hpp"

namespace tipoff {

// Fills a frame: checks an observation and takes what is usable of it; counts what is not in
// `stats`. Throws std::invalid_argument on a camera, shape or time that cannot be. What the frame
// held before is lost.
void fill(Frame& frame, const Observation& observation, const Setup& setup, TrackerStats& stats);

// Lays the boxes of the detections out for the kernels.
void take_boxes(Frame& frame);

}  // namespace tipoff
