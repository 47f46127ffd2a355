// The ball tracker: candidates of all cameras in any order within the allowed delay, the ball at
// any time near the newest of them.
//
// Frames are kept sorted by time and camera and worked in group by group (`advance`); the state
// after every group of the last `max_delay` is kept. A late frame goes back to the state before its
// group. So an answer is a pure function of the options, the accepted frames and the question.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "ball_report.hpp"
#include "ball_state.hpp"
#include "sealed.hpp"

namespace tipoff::ball {

// A time was asked for that is no longer kept.
class OutOfRange : public std::out_of_range {
  using std::out_of_range::out_of_range;
};

// Candidates of one camera frame as the caller holds them.
struct Observation {
  int camera = 0;
  std::int64_t time_ns = 0;
  std::int64_t rows = 0;
  const float* candidates = nullptr;  // rows x 3: u, v, confidence
};

struct Stats {
  std::int64_t accepted = 0;
  std::int64_t refused_late = 0;
  std::int64_t refused_twice = 0;
  std::int64_t unusable_candidates = 0;  // not finite, absurd, or without confidence
  std::int64_t dropped_candidates = 0;   // beyond the most that are looked at
  std::int64_t replayed = 0;
  Counters steps;
  double sigma_px = 0.0;
  double seen_share = 0.0;
  double clutter = 0.0;

  // The counters of what was brought; the others follow from the state.
  template <class Archive>
  void archive(Archive& a) {
    a(accepted, refused_late, refused_twice, unusable_candidates, dropped_candidates, replayed);
  }
};

class BallTracker {
 public:
  // Throws std::invalid_argument on a rig or an option that cannot be.
  BallTracker(Rig rig, Options options);

  // Takes in one camera frame; false where it is refused, because it is older than the allowed
  // delay or because this camera's frame of this time is already here. Throws std::invalid_argument
  // on a camera or time that cannot be.
  bool observe(const Observation& observation);

  // The ball at `time_ns`. Throws OutOfRange for a time older than the allowed delay.
  Report snapshot(std::int64_t time_ns, std::span<const Wrist> wrists);

  Stats stats();

  // Everything that later answers depend on. `restore` gives a ball tracker that continues bit for
  // bit; it throws BadCheckpoint where it cannot.
  std::vector<std::uint8_t> checkpoint();
  static std::unique_ptr<BallTracker> restore(Rig rig, const std::uint8_t* bytes, std::size_t size);
  const Options& options() const { return options_; }

 private:
  struct Entry {
    std::size_t frames = 0;  // how many of `frames_` this group took
    State after;
  };

  FramePtr make_frame(const Observation& observation);
  void insert(FramePtr frame);
  void process();
  void forget();
  std::size_t group_end(std::size_t begin) const;

  std::mutex mutex_;
  const Rig rig_;
  const Options options_;
  std::int64_t newest_ns_ = kLongAgo;
  State base_;                   // before the first entry
  std::deque<Entry> entries_;    // groups worked in, oldest first
  std::deque<FramePtr> frames_;  // frames of the entries, then those still to be worked in
  std::size_t worked_ = 0;       // frames in entries
  Stats stats_;
};

}  // namespace tipoff::ball
