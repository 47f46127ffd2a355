// The tracker: observations in any order within the allowed delay, snapshots and predictions at any
// time near the newest of them.
//
// Frames are kept sorted by time and camera and worked in group by group (`advance`); the state
// after every group is kept for as long as a frame may be late and a smoothed snapshot be asked. A
// late frame sends the tracker back to the state before its group, so that what it knows depends on
// the frames alone, not on the order of their arrival.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "advance.hpp"
#include "plan.hpp"
#include "report.hpp"
#include "sealed.hpp"
#include "setup.hpp"
#include "smooth.hpp"
#include "snapshot.hpp"
#include "state.hpp"

namespace tipoff {

// A snapshot was asked for a time that is no longer kept.
class TimeOutOfRange : public std::out_of_range {
  using std::out_of_range::out_of_range;
};

// A smoothed snapshot was asked before the observations that it rests on have come.
class NotYet : public std::out_of_range {
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
  const float* evidence = nullptr;       // rows x roster, may be null
  bool searched = true;                  // the whole frame; else only `asked` were looked for
  std::vector<std::int64_t> asked = {};  // identities
};

struct TrackerStats {
  std::int64_t accepted = 0;
  std::int64_t refused_late = 0;
  std::int64_t refused_twice = 0;
  std::int64_t held_ahead = 0;
  std::int64_t dropped_detections = 0;
  std::int64_t missing_keypoints = 0;
  std::int64_t replayed = 0;
  std::int64_t state_bytes = 0;  // of the newest state
  std::int64_t kept_states = 0;
  Counters steps;
};

class Tracker {
 public:
  Tracker(Rig rig, TrackerOptions options);

  // Takes in one camera frame; false where it is refused, because it is older than the allowed
  // delay or because this camera's frame of this time is already here. Throws std::invalid_argument
  // on a camera, shape or time that cannot be.
  //
  // A frame far ahead of all others waits until another camera, or two in a row of its own, say the
  // same: one clock that jumps must not make all other cameras late.
  bool observe(const Observation& observation);

  // All reported tracks at `time_ns`, from everything observed. Throws TimeOutOfRange for a time
  // older than the allowed delay.
  Snapshot snapshot(std::int64_t time_ns);
  // The same into a room that has been used before.
  void snapshot(std::int64_t time_ns, Snapshot& out);

  // The same from the observations up to `time_ns` + lag and no later. Throws NotYet before they
  // have come, TimeOutOfRange once they are no longer kept.
  Snapshot smoothed(std::int64_t time_ns);

  // What a camera frame whose first row is exposed at `time_ns` should show.
  Prediction predict(int camera, std::int64_t time_ns);

  // What to ask about the frame-set of `time_ns`, which is taken for the newest observation's time
  // where it lies before it. Throws std::invalid_argument on a budget of another rig.
  Plan plan(std::int64_t time_ns, const PlanBudget& budget);

  // The track of each detection of an accepted frame, -1 for none or a tentative one. Throws
  // TimeOutOfRange where the frame is not kept.
  std::vector<std::int64_t> assigned(int camera, std::int64_t time_ns);

  TrackerStats stats();

  // What the residuals say about each camera.
  std::vector<CameraHealth> health();
  std::int64_t newest_ns();
  int cameras() const { return static_cast<int>(setup_.rig.cameras.size()); }
  // The instruction set that the kernels run on.
  const char* isa() const { return setup_.kernels->name; }

  // Everything that later answers depend on. `restore` gives a tracker that continues bit for bit;
  // it throws BadCheckpoint where it cannot.
  std::vector<std::uint8_t> checkpoint();
  static std::unique_ptr<Tracker> restore(Rig rig, const std::uint8_t* bytes, std::size_t size);
  const TrackerOptions& options() const { return setup_.options; }

 private:
  struct Entry {
    std::size_t frames = 0;  // how many of `frames_` this group took
    State after;
    std::vector<Assigned> assigned;
  };

  // A frame far ahead of all others, and whether no other camera went on since.
  struct Ahead {
    FramePtr frame;
    bool alone = false;
  };

  FramePtr fill_frame(const Observation& observation);
  void retire(std::unique_ptr<Entry> entry);
  bool accept(FramePtr frame);
  bool hold(const FramePtr& frame);
  void release();
  std::int64_t jump_ns(int camera);
  void insert(FramePtr frame);
  void process();
  void forget();
  std::size_t group_end(std::size_t begin) const;
  const State& state_before(std::size_t entry) const;
  const State& newest_state() const { return state_before(entries_.size()); }
  TracksAt tracks_at(std::int64_t time_ns);
  TracksAt smooth_tracks(std::int64_t time_ns, std::int64_t until_ns);
  void require_kept(std::int64_t time_ns) const;
  void require_camera(int camera) const;

  std::mutex mutex_;
  const Setup setup_;
  std::int64_t newest_ns_ = kNever;
  State base_;                                  // before the first entry
  std::deque<std::unique_ptr<Entry>> entries_;  // groups worked in, oldest first
  std::deque<FramePtr> frames_;  // frames of the entries, then those still to be worked in
  std::size_t worked_ = 0;       // frames in entries
  std::vector<Ahead> ahead_;     // by camera
  TrackerStats stats_;

  // Rooms that hold nothing between calls.
  std::vector<std::unique_ptr<Entry>> spare_;
  std::vector<FramePtr> pool_;  // frames to be filled anew once nothing else holds them
  std::vector<FramePtr> group_;
  Workspace workspace_;
  SmoothScratch smooth_;
  Moment moment_;
};

}  // namespace tipoff
