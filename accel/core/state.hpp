// What the tracker knows at one time: a value that can be copied, kept and gone back to.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "camera.hpp"
#include "health.hpp"
#include "kernels.hpp"
#include "lanes.hpp"
#include "noise.hpp"
#include "options.hpp"

namespace tipoff {

// A camera that is silent for longer pauses: this is the longest interval that is learned.
inline constexpr std::int64_t kLongestInterval_ns = 60'000'000'000;

inline constexpr std::int64_t kNever = INT64_MIN;

// One skeleton that a camera saw.
struct Detection {
  int source = 0;  // its row in the call that brought it
  int present = 0;
  double x0 = 0.0;
  double y0 = 0.0;
  double x1 = 0.0;
  double y1 = 0.0;
  double size_px = 0.0;  // diagonal of the box
};

// One camera frame as it was accepted; never changed after.
struct Frame {
  int camera = 0;
  std::int64_t time_ns = 0;
  int rows = 0;  // detections in the call
  int joints = 0;
  int roster = 0;
  // Whether the whole frame was searched; otherwise only the tracks `asked` about were looked for,
  // and nothing follows from not finding anybody else.
  bool searched = true;
  std::vector<std::int64_t> asked;
  std::vector<Detection> detections;
  // Keypoints of the detections, each detection's joints from a block's start: u, v, confidence
  // (0 where missing).
  FloatLanes keypoints{3};
  Lanes boxes{5};               // of the detections once more: x0, y0, x1, y1, size, a lane each
  std::vector<float> evidence;  // detections x roster, NaN unknown

  std::size_t lanes() const { return padded(static_cast<std::size_t>(joints)); }
  std::size_t lane(std::size_t detection) const { return detection * lanes(); }
  bool looked_for(std::int64_t id) const {
    return searched || std::find(asked.begin(), asked.end(), id) != asked.end();
  }
};

using FramePtr = std::shared_ptr<const Frame>;

struct Track {
  std::int64_t id = -1;  // -1 while tentative
  std::int64_t key = 0;  // order of creation
  double existence = 0.0;
  std::int64_t born_ns = 0;
  std::int64_t seen_ns = 0;    // newest time at which any view held it
  std::int64_t paired_ns = 0;  // newest time at which two views held it
  // When it was lost: the newest time at which it was known, where, and how it moved.
  std::int64_t left_ns = kNever;
  Vec3 left_m;
  Vec3 left_mps;
  double left_variance = 0.0;  // of a coordinate of the velocity
  std::vector<double> evidence;
  bool confirmed() const { return id >= 0; }

  template <class Archive>
  void archive(Archive& a) {
    a(id, key, existence, born_ns, seen_ns, paired_ns, left_ns, left_m.x, left_m.y, left_m.z,
      left_mps.x, left_mps.y, left_mps.z, left_variance, evidence);
  }
};

// How lively joints are, by distance from the trunk along the limbs: factors of the process noise
// that are learned from how far the views move the predictions.
struct Liveliness {
  static constexpr std::size_t kKinds = 4;
  std::array<double, kKinds> factor{1.0, 1.0, 1.0, 1.0};

  template <class Archive>
  void archive(Archive& a) {
    for (double& f : factor) a(f);
  }
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

  template <class Archive>
  void archive(Archive& a) {
    a(births, deaths, assigned, unassigned, flipped, restarted);
  }
};

// Rows of limbs' learned lengths, how much each is worth, and how far single ones lie from them;
// lane k * limbs + l.
enum LimbRow : int { kLength = 0, kLengthWeight = 1, kLengthVar = 2, kLimbRows = 3 };

struct State {
  std::int64_t time_ns = kNever;
  std::int64_t resumed_ns = kNever;  // when the newest time ended in which nobody could be seen
  std::int64_t next_id = 1;
  std::int64_t next_key = 1;
  std::int64_t steps = 0;  // worked in since the start
  NoiseModel noise;
  Liveliness liveliness;
  std::vector<Track> tracks;
  Lanes joints{kStateRows};             // lane k * J + j
  std::vector<std::uint64_t> supports;  // the same, padded: cameras whose newest frame supports it
  Lanes limbs{kLimbRows};
  std::vector<Leftover> leftovers;
  std::array<std::int64_t, kMaxCameras> last_frame_ns{};
  std::array<std::int64_t, kMaxCameras> interval_ns{};
  std::array<std::int64_t, kMaxCameras> last_search_ns{};
  Counters counters;
  HealthMonitor health;
};

// Which track (its key) each detection of a frame went to, -1 for none.
struct Assigned {
  FramePtr frame;
  std::vector<std::int64_t> keys;
};

inline Vec3 vec3_at(const Lanes& lanes, int row, std::size_t lane) {
  const auto r = static_cast<std::size_t>(row);
  return {lanes.at(r, lane), lanes.at(r + 1, lane), lanes.at(r + 2, lane)};
}

inline Vec3 vec3_at(const FloatLanes& lanes, int row, std::size_t lane) {
  const auto r = static_cast<std::size_t>(row);
  return {lanes.at(r, lane), lanes.at(r + 1, lane), lanes.at(r + 2, lane)};
}

inline void set_vec3(Lanes& lanes, int row, std::size_t lane, Vec3 v) {
  const auto r = static_cast<std::size_t>(row);
  lanes.at(r, lane) = v.x;
  lanes.at(r + 1, lane) = v.y;
  lanes.at(r + 2, lane) = v.z;
}

inline Sym3 sym3_at(const Lanes& lanes, int row, std::size_t lane) {
  const auto r = static_cast<std::size_t>(row);
  return {lanes.at(r, lane),     lanes.at(r + 1, lane), lanes.at(r + 2, lane),
          lanes.at(r + 3, lane), lanes.at(r + 4, lane), lanes.at(r + 5, lane)};
}

inline void set_sym3(Lanes& lanes, int row, std::size_t lane, const Sym3& s) {
  const auto r = static_cast<std::size_t>(row);
  lanes.at(r, lane) = s.xx;
  lanes.at(r + 1, lane) = s.xy;
  lanes.at(r + 2, lane) = s.xz;
  lanes.at(r + 3, lane) = s.yy;
  lanes.at(r + 4, lane) = s.yz;
  lanes.at(r + 5, lane) = s.zz;
}

// Trace of the position's covariance, m^2.
inline double spread_at(const Lanes& joints, std::size_t lane) {
  return joints.at(kPP, lane) + joints.at(kPP + 3, lane) + joints.at(kPP + 5, lane);
}

// Starts a joint's filter: at rest relative to `velocity`, with the given covariances.
void start_joint(Lanes& joints, std::size_t lane, Vec3 position, Vec3 velocity,
                 const Sym3& covariance, double speed_std_mps);

// Appends an empty track with J joints and L limbs; returns its place.
std::size_t append_track(State& state, std::size_t joints, std::size_t limbs);

// Keeps the tracks whose flag is set, in order.
void keep_tracks(State& state, const std::vector<char>& kept, std::size_t joints,
                 std::size_t limbs);

// Moves the limbs and the evidence of one track to another.
void copy_limbs(State& state, std::size_t from, std::size_t to, std::size_t limbs);

}  // namespace tipoff
