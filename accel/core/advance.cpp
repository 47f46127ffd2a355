#include "advance.hpp"

#include <algorithm>

#include "contest.hpp"
#include "health_feed.hpp"
#include "identity.hpp"
#include "motion.hpp"

namespace tipoff {
namespace {

// Existence, in views: what a view that holds a track adds, what one that should and does not
// takes.
constexpr double kHit = 1.0;
constexpr double kMiss = 0.4;
constexpr double kExistenceLow = -3.0;
constexpr double kExistenceHigh = 10.0;
constexpr double kCertain = 5.0;
// How long a leftover waits for a partner in another view, in frame intervals, and at most.
constexpr double kLeftoverIntervals = 0.75;
constexpr std::int64_t kLeftoverLeast_ns = 40'000'000;
constexpr std::int64_t kLeftoverMost_ns = 300'000'000;
// So many intervals are the longest that a camera's pause counts for.
constexpr std::int64_t kPause = 4;
// After a wide step each frame is matched anew, so many times, against what the other frames of the
// group say.
constexpr int kMatchAgain = 3;

double seconds(std::int64_t ns) {
  return 1e-9 * static_cast<double>(ns);
}

class Step {
 public:
  Step(const State& before, State& after, const Setup& setup, const std::vector<FramePtr>& frames,
       Workspace& workspace)
      : before_(before), state_(after), setup_(setup), frames_(frames), w_(workspace) {
    now_ns_ = frames.back()->time_ns;
    dt_s_ = before.time_ns == kNever ? 0.0 : seconds(now_ns_ - before.time_ns);
  }

  void run(std::vector<Assigned>& assigned) {
    predict();
    for (const FramePtr& frame : frames_) learn_interval(*frame);
    match_frames();
    for (int i = 0; dt_s_ > kWideStep_s && i < kMatchAgain; ++i) {
      match_again();
      settle_contests(state_, setup_, w_.frames, frames_.size());
    }
    hold_tracks();
    update_joints(state_, setup_, w_.frames, frames_.size(), dt_s_, w_.update);
    feed_health(state_, setup_, w_.frames, frames_.size(), w_.update.solution);
    settle_tracks();
    report(assigned);
    collect_leftovers();
    bear(assigned);
    confirm(state_, w_.sure, setup_, w_.reunite);
    remove_duplicates(state_, setup_);
    bury(state_, setup_);
  }

 private:
  // The state before, moved on to now: everything but the filters is copied as it is.
  void predict() {
    state_.time_ns = now_ns_;
    notice_blackout(before_, state_, setup_);
    state_.next_id = before_.next_id;
    state_.next_key = before_.next_key;
    state_.steps = before_.steps + 1;
    state_.noise = before_.noise;
    state_.liveliness = before_.liveliness;
    state_.tracks = before_.tracks;
    state_.supports = before_.supports;
    state_.limbs = before_.limbs;
    state_.leftovers = before_.leftovers;
    state_.last_frame_ns = before_.last_frame_ns;
    state_.interval_ns = before_.interval_ns;
    state_.last_search_ns = before_.last_search_ns;
    state_.counters = before_.counters;
    state_.health = before_.health;
    state_.joints.reserve(before_.joints.stride());
    const std::size_t stride = before_.joints.stride();
    if (stride > 0) {
      std::memcpy(state_.joints.row(kFilterRows), before_.joints.row(kFilterRows),
                  (kStateRows - kFilterRows) * stride * sizeof(double));
    }
    if (state_.tracks.empty()) return;
    double* unseen = state_.joints.row(kUnseen);
    double* fresh = state_.joints.row(kFresh);
    for (std::size_t i = 0; i < stride; ++i) {
      unseen[i] += dt_s_;
      fresh[i] = 0.0;
    }
    move_joints(before_, state_.joints, setup_, dt_s_, w_.motion);
    apply_habits(state_.tracks, state_.joints, setup_, dt_s_, w_.motion);
  }

  void learn_interval(const Frame& frame) {
    const auto c = static_cast<std::size_t>(frame.camera);
    std::int64_t& last = state_.last_frame_ns[c];
    if (last != kNever) {
      std::int64_t& interval = state_.interval_ns[c];
      // A pause is no interval: it counts for a few of them.
      const std::int64_t longest =
          interval == 0 ? kLongestInterval_ns : std::min(kPause * interval, kLongestInterval_ns);
      const std::int64_t gap = std::min(frame.time_ns - last, longest);
      interval = interval == 0 ? gap : interval + (gap - interval) / 8;
    }
    last = frame.time_ns;
    if (frame.searched) state_.last_search_ns[c] = frame.time_ns;
  }

  void match_frames() {
    if (w_.frames.size() < frames_.size()) w_.frames.resize(frames_.size());
    for (std::size_t f = 0; f < frames_.size(); ++f) {
      FrameWork& work = w_.frames[f];
      work.frame = frames_[f].get();
      work.camera = work.frame->camera;
      work.wide = dt_s_ > kWideStep_s;
      work.offset_s = seconds(work.frame->time_ns - now_ns_);
      take_noise(work);
      take_image(f);
      match(state_, setup_, work, w_.match);
    }
  }

  void take_noise(FrameWork& work) const {
    const FloatLanes& keypoints = work.frame->keypoints;
    work.noise.reserve(keypoints.stride());
    NoiseArgs args{};
    args.confidence = keypoints.row(2);
    args.lanes = static_cast<long>(keypoints.stride());
    // An accused camera counts for less in the solve; who is who, it still tells.
    const double scale = state_.health.sigma_scale(work.camera);
    for (int b = 0; b < NoiseModel::kBands; ++b) {
      const double variance = state_.noise.variance_px2(work.camera, b);
      args.band[b] = static_cast<float>(variance);
      args.inverse[b] = static_cast<float>(1.0 / (scale * scale * variance));
    }
    args.variance = work.noise.row(0);
    args.information = work.noise.row(1);
    setup_.kernels->noise(args);
  }

  // Matches each frame against the tracks as the other frames' matches leave them.
  void match_again() {
    if (frames_.size() < 2 || state_.tracks.empty()) return;
    const State predicted = state_;
    for (std::size_t f = 0; f < frames_.size(); ++f) {
      w_.frames[f].detection_of.assign(state_.tracks.size(), -1);
      update_joints(state_, setup_, w_.frames, frames_.size(), dt_s_, w_.update);
      take_image(f);
      state_ = predicted;
      match(state_, setup_, w_.frames[f], w_.match);
      take_image(f);
    }
  }

  void take_image(std::size_t f) {
    FrameWork& work = w_.frames[f];
    take_images(state_.joints, state_.tracks.size(), setup_, work.camera, work.offset_s, work.image,
                work.boxes);
  }

  // Existence and evidence, before the joints are solved.
  void hold_tracks() {
    for (std::size_t f = 0; f < frames_.size(); ++f) w_.frames[f].held = w_.frames[f].expected = 0;
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      Track& track = state_.tracks[k];
      const int counted = track.confirmed() ? 1 : 0;
      for (std::size_t f = 0; f < frames_.size(); ++f) {
        FrameWork& work = w_.frames[f];
        const int n = work.detection_of[k];
        if (n >= 0) {
          add_evidence(track, *work.frame, static_cast<std::size_t>(n));
          track.existence += kHit;
          work.held += counted;
          work.expected += counted;
        } else if (frames_[f]->looked_for(track.id) && expected(work, k)) {
          track.existence -= kMiss;
          work.expected += counted;
        }
      }
      track.existence = std::clamp(track.existence, kExistenceLow, kExistenceHigh);
    }
  }

  // Whether most of the track's body should be seen in a frame.
  bool expected(const FrameWork& work, std::size_t k) const {
    const int joints = static_cast<int>(setup_.joints);
    if (2 * work.boxes[k].inside < joints) return false;
    const Camera& camera = setup_.rig.cameras[static_cast<std::size_t>(work.camera)];
    int open = 0;
    for (std::size_t j = 0; j < setup_.joints && 2 * open < joints; ++j) {
      const std::size_t lane = k * setup_.joints + j;
      const double u = work.image.at(kU, lane);
      const double v = work.image.at(kVpx, lane);
      const bool inside = work.image.at(kDepth, lane) > 0.0 && u >= 0.0 && u < camera.width &&
                          v >= 0.0 && v < camera.height;
      if (inside && !hidden(work.image, work.boxes, setup_, work.camera, k, j)) ++open;
    }
    return 2 * open >= joints;
  }

  // What follows from the solved joints.
  void settle_tracks() {
    w_.sure.clear();
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      Track& track = state_.tracks[k];
      int hits = 0;
      for (std::size_t f = 0; f < frames_.size(); ++f) {
        if (w_.frames[f].detection_of[k] >= 0) ++hits;
      }
      const bool paired = hits >= 2 || (hits > 0 && supported_lately(k) >= 2);
      if (paired) track.paired_ns = now_ns_;
      // After a wide step one view alone finds somebody for any track along its rays.
      if (paired || (hits > 0 && dt_s_ <= kWideStep_s)) track.seen_ns = now_ns_;
      const bool leaves = track.seen_ns != now_ns_ && track.seen_ns == before_.time_ns;
      if (leaves) remember_leaving(track, before_, k, setup_);
      if (hits == 0) continue;
      learn_body(state_, k, setup_, dt_s_);
      if (!track.confirmed() && track.existence >= kCertain) w_.sure.push_back(k);
    }
  }

  // Cameras whose newest frame, not older than two of their intervals, supports any joint.
  int supported_lately(std::size_t k) const {
    std::uint64_t support = 0;
    for (std::size_t j = 0; j < setup_.joints; ++j) {
      support |= state_.supports[k * setup_.joints + j];
    }
    int count = 0;
    for (std::size_t c = 0; c < setup_.rig.cameras.size(); ++c) {
      if (((support >> c) & 1) == 0) continue;
      if (now_ns_ - state_.last_frame_ns[c] <= 2 * state_.interval_ns[c] + kGroupWindow_ns) ++count;
    }
    return count;
  }

  void report(std::vector<Assigned>& assigned) {
    assigned.resize(frames_.size());
    for (std::size_t f = 0; f < frames_.size(); ++f) {
      Assigned& entry = assigned[f];
      const FrameWork& work = w_.frames[f];
      entry.frame = frames_[f];
      entry.keys.assign(static_cast<std::size_t>(work.frame->rows), -1);
      for (std::size_t n = 0; n < work.track_of.size(); ++n) {
        const auto row = static_cast<std::size_t>(work.frame->detections[n].source);
        if (work.track_of[n] < 0) {
          ++state_.counters.unassigned;
          continue;
        }
        ++state_.counters.assigned;
        if (work.flipped[n]) ++state_.counters.flipped;
        entry.keys[row] = state_.tracks[static_cast<std::size_t>(work.track_of[n])].key;
      }
    }
  }

  // Keeps what belongs to nobody for a partner in another view; each camera's newest searched frame
  // only.
  void collect_leftovers() {
    std::vector<Leftover>& leftovers = state_.leftovers;
    std::uint64_t renewed = 0;
    for (const FramePtr& frame : frames_) {
      if (frame->searched) renewed |= std::uint64_t{1} << frame->camera;
    }
    const auto stale = [&](const Leftover& leftover) {
      const auto c = static_cast<std::size_t>(leftover.frame->camera);
      if (((renewed >> c) & 1) != 0) return true;
      const auto patience = static_cast<std::int64_t>(kLeftoverIntervals *
                                                      static_cast<double>(state_.interval_ns[c]));
      const std::int64_t limit = std::clamp(patience, kLeftoverLeast_ns, kLeftoverMost_ns);
      return now_ns_ - leftover.frame->time_ns > limit;
    };
    leftovers.erase(std::remove_if(leftovers.begin(), leftovers.end(), stale), leftovers.end());
    for (std::size_t f = 0; f < frames_.size(); ++f) {
      const FrameWork& work = w_.frames[f];
      for (std::size_t n = 0; n < work.track_of.size(); ++n) {
        if (work.track_of[n] < 0 && !work.explained[n]) leftovers.push_back({frames_[f], n});
      }
    }
  }

  void bear(std::vector<Assigned>& assigned) {
    const std::vector<Proposal> proposals = propose(state_, setup_, w_.birth);
    if (proposals.empty()) return;
    std::vector<char> used(state_.leftovers.size(), 0);
    for (const Proposal& proposal : proposals) {
      if (state_.tracks.size() >= static_cast<std::size_t>(kMaxTracks)) break;
      if (!make_track(state_, proposal, setup_, w_.birth)) continue;
      const std::size_t k = state_.tracks.size() - 1;
      for (const std::size_t m : proposal.members) used[m] = 1;
      const auto views = static_cast<int>(proposal.members.size());
      state_.tracks[k].key = state_.next_key++;
      state_.tracks[k].existence = kHit * views;
      claim(state_.tracks[k].key, proposal, assigned);
      learn_body(state_, k, setup_, 0.0);
      if (views >= setup_.options.certain_views) w_.sure.push_back(k);
    }
    std::size_t write = 0;
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!used[i]) state_.leftovers[write++] = state_.leftovers[i];
    }
    state_.leftovers.resize(write);
  }

  // The detections of this step that a new track was made of are its own.
  void claim(std::int64_t key, const Proposal& proposal, std::vector<Assigned>& assigned) {
    for (const std::size_t m : proposal.members) {
      const Leftover& leftover = state_.leftovers[m];
      for (Assigned& entry : assigned) {
        if (entry.frame != leftover.frame) continue;
        const int row = leftover.frame->detections[leftover.detection].source;
        entry.keys[static_cast<std::size_t>(row)] = key;
        ++state_.counters.assigned;
        --state_.counters.unassigned;
      }
    }
  }

  const State& before_;
  State& state_;
  const Setup& setup_;
  const std::vector<FramePtr>& frames_;
  Workspace& w_;
  std::int64_t now_ns_ = 0;
  double dt_s_ = 0.0;
};

}  // namespace

void advance(const State& before, State& after, const Setup& setup,
             const std::vector<FramePtr>& frames, std::vector<Assigned>& assigned,
             Workspace& workspace) {
  Step(before, after, setup, frames, workspace).run(assigned);
}

}  // namespace tipoff
