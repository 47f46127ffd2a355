// The tracker: observations in any order within the allowed delay, snapshots and predictions at any
// time near the newest of them.
//
// Frames are kept sorted by time and camera and worked in group by group (`advance`); the state
// after every group of the last `max_delay` is kept. A late frame sends the tracker back to the
// state before its group, so that what it knows depends on the frames alone, not on the order of
// their arrival.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "state.hpp"

namespace tipoff {

// A snapshot was asked for a time that is no longer kept.
class TimeOutOfRange : public std::out_of_range {
  using std::out_of_range::out_of_range;
};

// Detections of one camera frame as the caller holds them.
struct Observation {
  int camera = 0;
  std::int64_t time_ns = 0;
  int rows = 0;
  int joints = 0;
  const float* keypoints = nullptr;  // rows x joints x 3: u, v, confidence
  int roster = 0;
  const float* evidence = nullptr;  // rows x roster, may be null
};

struct Snapshot {
  std::int64_t time_ns = 0;
  int joints = 0;
  std::vector<std::int64_t> ids;
  std::vector<Vec3> points;        // tracks x joints, NaN unknown
  std::vector<Sym3> covariances;   // the same, NaN unknown
  std::vector<float> confidences;  // 0 where no view supports the joint
  std::vector<std::int32_t> views;
};

struct Prediction {
  int joints = 0;
  std::vector<std::int64_t> ids;
  std::vector<std::array<double, 4>> boxes;  // NaN where the track is not in view
  std::vector<float> keypoints;              // tracks x joints x 3: u, v, expected confidence
  std::vector<char> visible;                 // tracks x joints
};

struct TrackerStats {
  std::int64_t accepted = 0;
  std::int64_t refused_late = 0;
  std::int64_t refused_twice = 0;
  std::int64_t dropped_detections = 0;
  std::int64_t missing_keypoints = 0;
  std::int64_t replayed = 0;
  Counters steps;
};

class Tracker {
 public:
  Tracker(Rig rig, TrackerOptions options);

  // Takes in one camera frame; false where it is refused, because it is older than the allowed
  // delay or because this camera's frame of this time is already here. Throws std::invalid_argument
  // on a camera, shape or time that cannot be.
  bool observe(const Observation& observation);

  // All reported tracks at `time_ns`. Throws TimeOutOfRange for a time older than the allowed
  // delay.
  Snapshot snapshot(std::int64_t time_ns);

  // What a camera frame whose first row is exposed at `time_ns` should show.
  Prediction predict(int camera, std::int64_t time_ns);

  // The track of each detection of an accepted frame, -1 for none or a tentative one. Throws
  // TimeOutOfRange where the frame is not kept.
  std::vector<std::int64_t> assigned(int camera, std::int64_t time_ns);

  TrackerStats stats();

  // What the residuals say about each camera.
  std::vector<CameraHealth> health();
  std::int64_t newest_ns();

 private:
  struct Entry {
    std::size_t frames = 0;  // how many of `frames_` this group took
    State after;
    std::vector<Assigned> assigned;
  };

  FramePtr make_frame(const Observation& observation);
  void insert(FramePtr frame);
  void process();
  void forget();
  std::size_t group_end(std::size_t begin) const;
  const State& state_before(std::size_t entry) const;
  std::vector<Track> tracks_at(std::int64_t time_ns, const State** base);
  void require_kept(std::int64_t time_ns) const;

  std::mutex mutex_;
  const Rig rig_;
  const TrackerOptions options_;
  std::int64_t newest_ns_ = kNever;
  State base_;                   // before the first entry
  std::deque<Entry> entries_;    // groups worked in, oldest first
  std::deque<FramePtr> frames_;  // frames of the entries, then those still to be worked in
  std::size_t worked_ = 0;       // frames in entries
  TrackerStats stats_;
};

}  // namespace tipoff
