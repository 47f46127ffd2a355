#include "tracker.hpp"

#include <algorithm>

#include "observation.hpp"
#include "plan_scene.hpp"

namespace tipoff {
namespace {

// A frame this much later than all others, and by this many of its camera's intervals, waits for a
// second opinion.
constexpr std::int64_t kJump_ns = 250'000'000;
constexpr std::int64_t kJumpIntervals = 4;
// Clocks that jump together agree within this.
constexpr std::int64_t kTogether_ns = 1'000'000'000;
// States and frames kept for reuse.
constexpr std::size_t kMaxSpare = 4;
constexpr std::size_t kMaxPool = 2 * static_cast<std::size_t>(kMaxCameras);

bool before(const FramePtr& a, const FramePtr& b) {
  return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->camera < b->camera;
}

}  // namespace

Tracker::Tracker(Rig rig, TrackerOptions options) : setup_(std::move(rig), std::move(options)) {
  base_.noise = NoiseModel(setup_.options.sigma_px);
  base_.last_frame_ns.fill(kNever);
  base_.last_search_ns.fill(kNever);
  ahead_.resize(setup_.rig.cameras.size());
  base_.health = HealthMonitor(setup_.rig.cameras.size());
}

bool Tracker::observe(const Observation& observation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  FramePtr frame = fill_frame(observation);
  if (hold(frame)) return true;
  const bool accepted = accept(std::move(frame));
  if (accepted) release();
  return accepted;
}

FramePtr Tracker::fill_frame(const Observation& observation) {
  std::shared_ptr<Frame> frame;
  for (FramePtr& pooled : pool_) {
    if (pooled.use_count() != 1) continue;  // a leftover still lies in it
    frame = std::const_pointer_cast<Frame>(pooled);
    pooled.swap(pool_.back());
    pool_.pop_back();
    break;
  }
  if (frame == nullptr) frame = std::make_shared<Frame>();
  fill(*frame, observation, setup_, stats_);
  return frame;
}

// How far ahead of all others a frame of this camera may be. Its interval is what all frames up to
// now say, so what is taken in does not depend on what was asked before.
std::int64_t Tracker::jump_ns(int camera) {
  process();
  const std::int64_t interval = newest_state().interval_ns[static_cast<std::size_t>(camera)];
  return std::max({kJump_ns, setup_.options.max_delay_ns, kJumpIntervals * interval});
}

// Whether the frame has to wait; those that waited and are believed now are taken in here.
bool Tracker::hold(const FramePtr& frame) {
  const auto c = static_cast<std::size_t>(frame->camera);
  if (newest_ns_ == kNever || ahead_.size() < 2) return false;
  const std::int64_t ahead_ns = frame->time_ns - newest_ns_;
  if (ahead_ns <= std::max(kJump_ns, setup_.options.max_delay_ns) ||
      ahead_ns <= jump_ns(frame->camera)) {
    ahead_[c] = {};  // its clock is back
    for (Ahead& waiting : ahead_) waiting.alone = false;
    return false;
  }
  bool believed = ahead_[c].alone && before(ahead_[c].frame, frame);
  for (std::size_t i = 0; i < ahead_.size() && !believed; ++i) {
    if (i == c || ahead_[i].frame == nullptr) continue;
    const std::int64_t apart = frame->time_ns - ahead_[i].frame->time_ns;
    believed = apart <= kTogether_ns && apart >= -kTogether_ns;
  }
  if (!believed) {
    ++stats_.held_ahead;
    ahead_[c] = {frame, true};
    return true;
  }
  for (Ahead& waiting : ahead_) {
    if (waiting.frame == nullptr) continue;
    const FramePtr held = std::move(waiting.frame);
    waiting = {};
    accept(held);
  }
  return false;
}

// Takes in whoever waited and is no longer ahead.
void Tracker::release() {
  for (Ahead& waiting : ahead_) {
    if (waiting.frame == nullptr) continue;
    if (waiting.frame->time_ns - newest_ns_ > jump_ns(waiting.frame->camera)) continue;
    const FramePtr held = std::move(waiting.frame);
    waiting = {};
    accept(held);
  }
}

bool Tracker::accept(FramePtr frame) {
  if (newest_ns_ != kNever && frame->time_ns < newest_ns_ - setup_.options.max_delay_ns) {
    ++stats_.refused_late;
    return false;
  }
  const auto place = std::lower_bound(frames_.begin(), frames_.end(), frame, before);
  if (place != frames_.end() && !before(frame, *place)) {
    ++stats_.refused_twice;
    return false;
  }
  ++stats_.accepted;
  insert(std::move(frame));
  return true;
}

void Tracker::insert(FramePtr frame) {
  newest_ns_ = std::max(newest_ns_, frame->time_ns);
  const auto place = std::lower_bound(frames_.begin(), frames_.end(), frame, before);
  const auto index = static_cast<std::size_t>(place - frames_.begin());
  // Groups that this frame belongs to, comes before, or could have joined are worked again.
  while (!entries_.empty()) {
    const Entry& last = *entries_.back();
    const std::size_t begin = worked_ - last.frames;
    if (index > worked_ ||
        (index == worked_ && frame->time_ns > frames_[begin]->time_ns + kGroupWindow_ns)) {
      break;
    }
    worked_ = begin;
    retire(std::move(entries_.back()));
    entries_.pop_back();
    ++stats_.replayed;
  }
  frames_.insert(place, std::move(frame));
  // What can no longer change is worked in at once, so that the backlog stays bounded.
  if (frames_[worked_]->time_ns < newest_ns_ - setup_.options.max_delay_ns) process();
}

std::size_t Tracker::group_end(std::size_t begin) const {
  const std::int64_t limit = frames_[begin]->time_ns + kGroupWindow_ns;
  std::size_t end = begin + 1;
  std::uint64_t cameras = std::uint64_t{1} << frames_[begin]->camera;
  while (end < frames_.size() && frames_[end]->time_ns <= limit) {
    const std::uint64_t bit = std::uint64_t{1} << frames_[end]->camera;
    if ((cameras & bit) != 0) break;
    cameras |= bit;
    ++end;
  }
  return end;
}

const State& Tracker::state_before(std::size_t entry) const {
  return entry == 0 ? base_ : entries_[entry - 1]->after;
}

void Tracker::process() {
  while (worked_ < frames_.size()) {
    const std::size_t end = group_end(worked_);
    std::unique_ptr<Entry> entry;
    if (spare_.empty()) {
      entry = std::make_unique<Entry>();
    } else {
      entry = std::move(spare_.back());
      spare_.pop_back();
    }
    entry->frames = end - worked_;
    group_.assign(frames_.begin() + static_cast<std::ptrdiff_t>(worked_),
                  frames_.begin() + static_cast<std::ptrdiff_t>(end));
    advance(state_before(entries_.size()), entry->after, setup_, group_, entry->assigned,
            workspace_);
    entries_.push_back(std::move(entry));
    worked_ = end;
  }
  forget();
}

void Tracker::forget() {
  if (entries_.size() < 2) return;
  // A group may go when no acceptable frame can still come before its end, and when the next
  // group's state also lies before every time that may be asked for.
  const std::int64_t horizon =
      newest_ns_ - setup_.options.max_delay_ns - setup_.options.lag_ns - kGroupWindow_ns;
  while (entries_.size() >= 2 && entries_[1]->after.time_ns < horizon) {
    std::unique_ptr<Entry> oldest = std::move(entries_.front());
    entries_.pop_front();
    std::swap(base_, oldest->after);
    for (std::size_t f = 0; f < oldest->frames; ++f) {
      if (pool_.size() < kMaxPool) pool_.push_back(std::move(frames_.front()));
      frames_.pop_front();
    }
    worked_ -= oldest->frames;
    retire(std::move(oldest));
  }
}

// Keeps the room of a state that is no longer needed, without the frames that it held.
void Tracker::retire(std::unique_ptr<Entry> entry) {
  if (spare_.size() >= kMaxSpare) return;
  entry->after.leftovers.clear();
  for (Assigned& assigned : entry->assigned) assigned.frame.reset();
  spare_.push_back(std::move(entry));
}

void Tracker::require_kept(std::int64_t time_ns) const {
  if (time_ns > kLargestTime_ns || time_ns < -kLargestTime_ns) {
    throw TimeOutOfRange("time " + std::to_string(time_ns) + " is not a time in nanoseconds");
  }
  if (newest_ns_ != kNever && time_ns < newest_ns_ - setup_.options.max_delay_ns) {
    throw TimeOutOfRange("time " + std::to_string(time_ns) + " ns lies " +
                         std::to_string(newest_ns_ / 1'000'000 - time_ns / 1'000'000) +
                         " ms before the newest observation, further back than max_delay_ms = " +
                         std::to_string(setup_.options.max_delay_ns / 1'000'000));
  }
}

void Tracker::require_camera(int camera) const {
  if (camera < 0 || camera >= static_cast<int>(setup_.rig.cameras.size())) {
    throw std::invalid_argument("camera " + std::to_string(camera) + " is not in the rig of " +
                                std::to_string(setup_.rig.cameras.size()));
  }
}

TracksAt Tracker::tracks_at(std::int64_t time_ns) {
  process();
  const State& newest = newest_state();
  if (entries_.empty() || time_ns < newest.time_ns) {
    return smooth_tracks(time_ns, INT64_MAX);
  }
  const std::uint64_t live = live_cameras(newest, setup_.rig.cameras.size());
  if (time_ns == newest.time_ns) {
    return {time_ns, &newest.tracks, &newest.joints, &newest.supports, &newest.limbs, live};
  }
  predict_moment(newest, setup_, time_ns, smooth_, moment_);
  return {time_ns, &moment_.tracks, &moment_.joints, &moment_.supports, &moment_.limbs, live};
}

TracksAt Tracker::smooth_tracks(std::int64_t time_ns, std::int64_t until_ns) {
  std::vector<const State*> states;
  if (base_.time_ns != kNever) states.push_back(&base_);
  for (const auto& entry : entries_) {
    if (entry->after.time_ns <= until_ns) states.push_back(&entry->after);
  }
  moment_.tracks.clear();
  moment_.time_ns = time_ns;
  std::uint64_t live = 0;
  if (!states.empty() && states.front()->time_ns <= time_ns) {
    smooth_moment(states, setup_, time_ns, smooth_, moment_);
    const auto newest = std::find_if(states.rbegin(), states.rend(),
                                     [&](const State* s) { return s->time_ns <= time_ns; });
    live = live_cameras(**newest, setup_.rig.cameras.size());
  }
  return {time_ns, &moment_.tracks, &moment_.joints, &moment_.supports, &moment_.limbs, live, true};
}

Snapshot Tracker::snapshot(std::int64_t time_ns) {
  Snapshot out;
  snapshot(time_ns, out);
  return out;
}

void Tracker::snapshot(std::int64_t time_ns, Snapshot& out) {
  const std::lock_guard<std::mutex> lock(mutex_);
  require_kept(time_ns);
  out.time_ns = time_ns;
  out.joints = setup_.options.skeleton.joints;
  report_tracks(tracks_at(time_ns), setup_, out);
}

Snapshot Tracker::smoothed(std::int64_t time_ns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::int64_t lag = setup_.options.lag_ns;
  if (newest_ns_ == kNever || newest_ns_ - lag < time_ns) {
    throw NotYet("a smoothed snapshot at " + std::to_string(time_ns) +
                 " ns rests on observations up to lag_ms = " + std::to_string(lag / 1'000'000) +
                 " later, which have not come; ask again when they have");
  }
  if (time_ns < newest_ns_ - lag - setup_.options.max_delay_ns) {
    throw TimeOutOfRange("time " + std::to_string(time_ns) + " ns lies " +
                         std::to_string(newest_ns_ / 1'000'000 - time_ns / 1'000'000) +
                         " ms before the newest observation, further back than lag_ms + "
                         "max_delay_ms = " +
                         std::to_string((lag + setup_.options.max_delay_ns) / 1'000'000));
  }
  process();
  Snapshot out;
  out.time_ns = time_ns;
  out.joints = setup_.options.skeleton.joints;
  report_tracks(smooth_tracks(time_ns, time_ns + lag), setup_, out);
  return out;
}

Prediction Tracker::predict(int camera, std::int64_t time_ns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  require_camera(camera);
  require_kept(time_ns);
  return predict_tracks(tracks_at(time_ns), setup_, camera);
}

Plan Tracker::plan(std::int64_t time_ns, const PlanBudget& budget) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t cameras = setup_.rig.cameras.size();
  if (budget.available.size() != cameras || budget.detect_ms.size() != cameras) {
    throw std::invalid_argument("the budget is not for the rig's " + std::to_string(cameras) +
                                " cameras");
  }
  process();
  time_ns = std::clamp(time_ns, -kLargestTime_ns, kLargestTime_ns);
  const State& newest = newest_state();
  // Before anything was observed there is nobody to predict, at any time.
  const bool begun = newest.time_ns != kNever;
  predict_moment(newest, setup_, begun ? std::max(time_ns, newest.time_ns) : kNever, smooth_,
                 moment_);
  if (!begun) moment_.time_ns = time_ns;
  return make_plan(scene_of(moment_, newest, setup_), setup_.rig, budget);
}

std::vector<std::int64_t> Tracker::assigned(int camera, std::int64_t time_ns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  process();
  for (const auto& entry : entries_) {
    for (const Assigned& frame : entry->assigned) {
      if (frame.frame->camera != camera || frame.frame->time_ns != time_ns) continue;
      std::vector<std::int64_t> ids(frame.keys.size(), -1);
      for (std::size_t n = 0; n < ids.size(); ++n) {
        for (const Track& track : entry->after.tracks) {
          if (track.key == frame.keys[n]) ids[n] = track.id;
        }
      }
      return ids;
    }
  }
  throw TimeOutOfRange("camera " + std::to_string(camera) + " has no frame at " +
                       std::to_string(time_ns) + " ns among those kept");
}

TrackerStats Tracker::stats() {
  const std::lock_guard<std::mutex> lock(mutex_);
  process();
  TrackerStats out = stats_;
  const State& newest = newest_state();
  out.steps = newest.counters;
  const std::size_t doubles =
      newest.joints.rows() * newest.joints.stride() + newest.limbs.rows() * newest.limbs.stride();
  out.state_bytes = static_cast<std::int64_t>(sizeof(State) + doubles * sizeof(double) +
                                              newest.tracks.size() * sizeof(Track) +
                                              newest.supports.size() * sizeof(std::uint64_t));
  out.kept_states = static_cast<std::int64_t>(entries_.size()) + 1;
  return out;
}

std::vector<CameraHealth> Tracker::health() {
  const std::lock_guard<std::mutex> lock(mutex_);
  process();
  return newest_state().health.report(setup_.rig);
}

std::int64_t Tracker::newest_ns() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return newest_ns_;
}

}  // namespace tipoff
