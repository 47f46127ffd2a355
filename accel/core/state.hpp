// What the tracker knows at one time: a value that can be copied, kept and gone back to.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "camera.hpp"
#include "filter.hpp"
#include "health.hpp"
#include "noise.hpp"
#include "options.hpp"

namespace tipoff {

inline constexpr std::int64_t kNever = INT64_MIN;

// One keypoint of a detection; confidence 0 means that it is missing.
struct Keypoint {
  Vec2 uv;
  double confidence = 0.0;
};

// One skeleton that a camera saw. Its joints lie in the frame, J a detection.
struct Detection {
  int source = 0;  // its row in the call that brought it
  int present = 0;
  double x0 = 0.0;
  double y0 = 0.0;
  double x1 = 0.0;
  double y1 = 0.0;
  double size_px() const { return std::sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0)); }
};

// One camera frame as it was accepted; never changed after.
struct Frame {
  int camera = 0;
  std::int64_t time_ns = 0;
  int rows = 0;  // detections in the call
  int joints = 0;
  int roster = 0;
  std::vector<Detection> detections;
  std::vector<Keypoint> keypoints;  // detections x joints
  std::vector<float> evidence;      // detections x roster, NaN unknown

  const Keypoint* of(std::size_t detection) const {
    return &keypoints[detection * static_cast<std::size_t>(joints)];
  }
};

using FramePtr = std::shared_ptr<const Frame>;

// A joint's usual place beside the trunk's centre, learned per track: the prior of what no view
// sees.
struct Habit {
  Vec3 offset;
  double variance = 0.0;
  double weight = 0.0;
};

struct Joint {
  JointFilter filter;
  Habit habit;
  std::int64_t seen_ns = kNever;  // newest time at which a view supported it
  double confidence = 0.0;
};

// A limb's learned length.
struct LimbLength {
  double mean_m = 0.0;
  double weight = 0.0;
};

struct Track {
  std::int64_t id = -1;  // -1 while tentative
  std::int64_t key = 0;  // order of creation
  double existence = 0.0;
  std::int64_t born_ns = 0;
  std::int64_t seen_ns = 0;    // newest time at which any view held it
  std::int64_t paired_ns = 0;  // newest time at which two views held it
  std::vector<Joint> joints;
  std::vector<LimbLength> limbs;
  // Newest time at which each camera supported each joint, joints x cameras.
  std::vector<std::int64_t> supported_ns;
  std::vector<double> evidence;
  bool confirmed() const { return id >= 0; }
};

// A detection that belongs to no track yet.
struct Leftover {
  FramePtr frame;
  std::size_t detection = 0;
};

struct Counters {
  std::int64_t births = 0;
  std::int64_t deaths = 0;
  std::int64_t assigned = 0;
  std::int64_t unassigned = 0;
  std::int64_t flipped = 0;
  std::int64_t restarted = 0;
};

struct State {
  std::int64_t time_ns = kNever;
  std::int64_t next_id = 1;
  std::int64_t next_key = 1;
  NoiseModel noise;
  std::vector<Track> tracks;
  std::vector<Leftover> leftovers;
  std::array<std::int64_t, kMaxCameras> last_frame_ns{};
  std::array<std::int64_t, kMaxCameras> interval_ns{};
  Counters counters;
  HealthMonitor health;
};

// Which track (its key) each detection of a frame went to, -1 for none.
struct Assigned {
  FramePtr frame;
  std::vector<std::int64_t> keys;
};

}  // namespace tipoff
