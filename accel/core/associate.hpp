// Which detection of a camera frame is which track: the tracks' expected images, and the
// assignment.
#pragma once

#include <vector>

#include "state.hpp"

namespace tipoff {

// A track as one camera should see it at one time.
struct TrackImage {
  struct Point {
    Vec2 uv;
    double variance_px2 = 0.0;  // of one coordinate, from the joint's covariance
    double depth = 0.0;
    bool valid = false;   // has an image at all
    bool inside = false;  // within the frame
  };
  std::vector<Point> points;
  int valid = 0;
  int inside = 0;
  double x0 = 0.0;
  double y0 = 0.0;
  double x1 = 0.0;
  double y1 = 0.0;
  double depth = 0.0;  // median-like: the mean over valid joints
  double size_px() const { return std::sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0)); }
};

// The image of `track` in a frame of `camera` whose first row is exposed `offset_s` after the
// state's time; each joint at its own row's time.
void image_of(const Track& track, const Camera& camera, double offset_s, TrackImage& out);

// Whether joint j of image k lies behind the body of another, nearer track.
bool hidden(const std::vector<TrackImage>& images, const SkeletonSpec& skeleton,
            const Camera& camera, std::size_t k, std::size_t j);

// How badly a detection fits a track's image, 0 (perfect) to 1; kForbidden where they cannot be
// compared. With `mirror`, joint j of the detection is taken for the mirrored one.
double misfit(const TrackImage& image, const Detection& detection, const Keypoint* keypoints,
              int joints, const NoiseModel& noise, int camera, const std::vector<int>* mirror);

// A pair that fits worse than this is no pair.
inline constexpr double kMisfitGate = 0.72;

// The outcome for one frame.
struct Match {
  std::vector<int> track_of;    // by detection, -1 none
  std::vector<char> flipped;    // by detection: left and right are swapped
  std::vector<char> explained;  // by detection: fits a track that took another one
};

// Assigns the detections of a frame: confirmed tracks seen lately first, tentative ones among the
// rest. Lost tracks take part only through births. `images` has one entry a track.
Match match(const State& state, const TrackerOptions& options, const Frame& frame,
            const std::vector<TrackImage>& images);

}  // namespace tipoff
