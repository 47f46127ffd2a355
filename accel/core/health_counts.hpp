// What the counts of a camera's frames say: other pictures than its own, or none.
#pragma once

#include "health_memory.hpp"

namespace tipoff {

// Learns which share of detections is usually explained.
void learn_usual(CameraMemory& camera, std::int64_t index);

// The camera whose pictures these are, by the guesses made; -1 where none fits much better.
int whose_pictures(const CameraMemory& camera, std::int64_t index, const OpenCounts& open);

// Whether far fewer detections than usual are explained.
bool strayed(const CameraMemory& camera, std::int64_t index);
// Whether nearly nothing is detected where people are.
bool blinded(const CameraMemory& camera, std::int64_t index);
// Whether a useless camera is back to what is usual.
bool returned(const CameraMemory& camera, std::int64_t index);

}  // namespace tipoff
