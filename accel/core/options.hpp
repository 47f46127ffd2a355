// What the tracker is told before the first frame.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tipoff {

inline constexpr int kMaxJoints = 64;
inline constexpr int kMaxCameras = 64;
// Detections of one camera frame that are looked at; the least confident beyond it are left out.
inline constexpr int kMaxDetections = 128;
// Tracks alive at one time, tentative ones among them.
inline constexpr int kMaxTracks = 128;
// Times beyond this, either way of 0, leave no room for differences, ns (about 146 years).
inline constexpr std::int64_t kLargestTime_ns = INT64_MAX / 2;
// No delay of the options is longer, ns (about 2 years).
inline constexpr std::int64_t kLongestDelay_ns = std::int64_t{1} << 56;

struct SkeletonSpec {
  int joints = 0;
  std::vector<std::pair<int, int>> limbs;
  std::vector<int> mirror;
  std::vector<int> trunk;
  std::vector<int> parents;
};

struct TrackerOptions {
  SkeletonSpec skeleton;
  // How late an observation may come, and how far back a snapshot may be asked.
  std::int64_t max_delay_ns = 100'000'000;
  // How long a track is reported without an observation.
  std::int64_t max_coast_ns = 250'000'000;
  // How long an unobserved track is kept, unreported, so that it may be found again.
  std::int64_t max_lost_ns = 1'000'000'000;
  // A joint is known when its largest standard deviation is at most this.
  double max_std_m = 0.15;
  // Keypoint noise before any of it is learned.
  double sigma_px = 4.0;
  // Views that make a person certain in the first frame.
  int certain_views = 3;
  // How much later observations than its own a smoothed snapshot rests on.
  std::int64_t lag_ns = 100'000'000;
  // The instruction set of the kernels: auto, baseline, avx2.
  std::string isa = "auto";
  // A text of the caller's, kept in checkpoints.
  std::string label;
};

}  // namespace tipoff
