// What the counts of a camera's frames say: other pictures than its own, or none.
#pragma once

#include "health_memory.hpp"

namespace tipoff {

// Learns which share of detections is usually explained.
void learn_usual(CameraMemory& camera, std::int64_t index);

// The camera whose pictures these are, by the guesses made; -1 where none fits much better.
int whose_pictures(const CameraMemory& camera, std::int64_t index, const OpenCounts& open);

// The part of its detections that is explained, in units of what usually is; NaN where little was
// detected, or that is not known.
double share_of_usual(const CameraMemory& camera, std::int64_t index);
// Whether a share is far less than usual while the others' is not.
bool strayed(double share, double others);
// Whether nearly nothing is detected where people are.
bool blinded(const CameraMemory& camera, std::int64_t index);
// Whether a useless camera is back to what is usual.
bool returned(const CameraMemory& camera, std::int64_t index);

}  // namespace tipoff
