// What is remembered of every camera, and what is made of it once a block.
//
// Charts: for each camera and each of turn (three axes), zoom and lateness, the mean effect over
// the last 0.5 to 8 s against the camera's own baseline, in standard deviations. The deviation is
// the larger of what the scatter between people says (they err alike for seconds, so the blocks of
// one window do not count as independent) and of how far such means were off before, on this camera
// and on the rig; to it a floor is added below which a change does not matter. A chart beyond its
// threshold raises the question which camera it was: the one whose changes, all eight together,
// explain most of the squared residuals, if by a margin. What kind of change: the one kind that
// explains most.
//
// An accused camera's residuals are corrected by its estimated change from then on, so that its
// neighbours are judged fairly, and it is acquitted when its residuals fit its baseline better than
// they fit the accusation. Neither uses the tracker's weights, so being trusted less does not keep
// it accused.
#pragma once

#include "health_memory.hpp"

namespace tipoff {

struct CameraHealth {
  Verdict verdict = Verdict::kLearning;
  int partner = -1;
  Vec2 bias_px;
  Vec2 drift_px_per_min;
  double explained = 0.0;  // NaN where nothing was detected
  Effects effect{};        // of the accused kind where accused, of all kinds together else
  Effects error{};         // their standard errors
  double sigma_scale = 1.0;
  double displacement_m = 0.0;   // what the effect does to a point that all cameras fit alike
  bool at_far_baseline = false;  // there, or where people were last
  std::int64_t since_ns = 0;
};

// Takes in the closed block number `memory.index` (its scores and counts already in place), judges
// all cameras and counts it.
void judge(HealthMemory& memory, const Rig& rig, std::int64_t time_ns,
           const std::vector<OpenCounts>& counts);

// What is assumed of a camera when its next block is scored.
CameraBelief belief_of(const CameraMemory& camera);
double sigma_scale_of(const CameraMemory& camera);
CameraHealth health_of(const HealthMemory& memory, const Rig& rig, std::size_t camera);

}  // namespace tipoff
