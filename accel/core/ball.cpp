#include "ball.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "ball_advance.hpp"

namespace tipoff::ball {
namespace {

// Times beyond this leave no room for differences, ns (about 146 years either way).
constexpr std::int64_t kLargestTime_ns = INT64_MAX / 2;
// Pixels beyond this many frame sizes are no measurement.
constexpr double kAbsurd = 4.0;
// Frames up to this long after the first of a group are one group: each counts at its own time.
constexpr std::int64_t kGroupWindow_ns = 6'000'000;

bool before(const FramePtr& a, const FramePtr& b) {
  return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->camera < b->camera;
}

bool usable(const float* row, const Camera& camera) {
  if (!std::isfinite(row[0]) || !std::isfinite(row[1]) || !std::isfinite(row[2])) return false;
  if (!(row[2] > 0.0F)) return false;
  return std::fabs(row[0]) <= kAbsurd * (camera.width + 1.0) &&
         std::fabs(row[1]) <= kAbsurd * (camera.height + 1.0);
}

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

void check(const Rig& rig, const Options& options) {
  if (rig.cameras.empty() || rig.cameras.size() > static_cast<std::size_t>(kMostCameras)) {
    throw std::invalid_argument("a ball tracker needs 1 to 64 cameras, got " +
                                std::to_string(rig.cameras.size()));
  }
  require(options.max_delay_ns >= 0 && options.max_coast_ns >= 0, "delays must not be negative");
  require(
      options.max_delay_ns <= kLargestTime_ns / 4 && options.max_coast_ns <= kLargestTime_ns / 4,
      "delays must be at most 30 years");
  require(options.max_std_m > 0.0 && options.sigma_px > 0.0 && options.radius_m > 0.0,
          "max_std_m, sigma_px and radius_m must be positive");
  require(std::isfinite(options.floor_m) && options.drag_per_m >= 0.0 &&
              options.restitution > 0.0 && options.restitution < 1.0,
          "floor_m must be finite, drag_per_m not negative and restitution between 0 and 1");
}

}  // namespace

BallTracker::BallTracker(Rig rig, Options options)
    : rig_(std::move(rig)), options_(std::move(options)) {
  check(rig_, options_);
  base_ = start(options_);
}

bool BallTracker::observe(const Observation& observation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  FramePtr frame = make_frame(observation);
  if (newest_ns_ != kLongAgo && frame->time_ns < newest_ns_ - options_.max_delay_ns) {
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

FramePtr BallTracker::make_frame(const Observation& o) {
  if (o.camera < 0 || o.camera >= static_cast<int>(rig_.cameras.size())) {
    throw std::invalid_argument("camera " + std::to_string(o.camera) + " is not in the rig of " +
                                std::to_string(rig_.cameras.size()));
  }
  if (o.time_ns > kLargestTime_ns || o.time_ns < -kLargestTime_ns) {
    throw std::invalid_argument("capture_time_ns " + std::to_string(o.time_ns) +
                                " is not a time in nanoseconds");
  }
  const Camera& camera = rig_.cameras[static_cast<std::size_t>(o.camera)];
  auto frame = std::make_shared<Frame>();
  frame->camera = o.camera;
  frame->time_ns = o.time_ns;
  std::vector<const float*> rows;
  for (std::int64_t n = 0; n < o.rows; ++n) {
    const float* row = o.candidates + 3 * n;
    if (usable(row, camera)) {
      rows.push_back(row);
    } else {
      ++stats_.unusable_candidates;
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const float* a, const float* b) { return a[2] > b[2]; });
  if (rows.size() > kMostCandidates) {
    stats_.dropped_candidates += static_cast<std::int64_t>(rows.size() - kMostCandidates);
    rows.resize(kMostCandidates);
  }
  for (const float* row : rows) {
    Candidate candidate;
    candidate.uv = {static_cast<double>(row[0]), static_cast<double>(row[1])};
    candidate.confidence = std::min(static_cast<double>(row[2]), 1.0);
    Vec2 normalised;
    if (!undistort(camera, candidate.uv, normalised)) {
      ++stats_.unusable_candidates;
      continue;
    }
    candidate.ray = ray_direction(camera, normalised);
    candidate.delay_s = 1e-9 * static_cast<double>(row_delay_ns(camera, candidate.uv.y));
    frame->candidates.push_back(candidate);
  }
  frame->rows = static_cast<int>(frame->candidates.size());
  return frame;
}

void BallTracker::insert(FramePtr frame) {
  newest_ns_ = std::max(newest_ns_, frame->time_ns);
  const auto place = std::lower_bound(frames_.begin(), frames_.end(), frame, before);
  const auto index = static_cast<std::size_t>(place - frames_.begin());
  // Groups that this frame belongs to, comes before, or could have joined are worked again.
  while (!entries_.empty()) {
    const std::size_t begin = worked_ - entries_.back().frames;
    if (index > worked_ ||
        (index == worked_ && frame->time_ns > frames_[begin]->time_ns + kGroupWindow_ns)) {
      break;
    }
    worked_ = begin;
    entries_.pop_back();
    ++stats_.replayed;
  }
  frames_.insert(place, std::move(frame));
  // What can no longer change is worked in at once, so that the backlog stays bounded.
  if (frames_[worked_]->time_ns < newest_ns_ - options_.max_delay_ns) process();
}

std::size_t BallTracker::group_end(std::size_t begin) const {
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

void BallTracker::process() {
  while (worked_ < frames_.size()) {
    const std::size_t end = group_end(worked_);
    Entry entry;
    entry.frames = end - worked_;
    entry.after = entries_.empty() ? base_ : entries_.back().after;
    const std::vector<FramePtr> group(frames_.begin() + static_cast<std::ptrdiff_t>(worked_),
                                      frames_.begin() + static_cast<std::ptrdiff_t>(end));
    advance(entry.after, rig_, options_, group);
    entries_.push_back(std::move(entry));
    worked_ = end;
  }
  forget();
}

void BallTracker::forget() {
  if (entries_.size() < 2) return;
  // A group may go when no acceptable frame can still come before its end, and when the next
  // group's state also lies before every time that may be asked for.
  const std::int64_t horizon = newest_ns_ - options_.max_delay_ns - kGroupWindow_ns;
  while (entries_.size() >= 2 && entries_[1].after.time_ns < horizon) {
    base_ = std::move(entries_.front().after);
    const auto frames = static_cast<std::ptrdiff_t>(entries_.front().frames);
    frames_.erase(frames_.begin(), frames_.begin() + frames);
    worked_ -= entries_.front().frames;
    entries_.pop_front();
  }
}

Report BallTracker::snapshot(std::int64_t time_ns, std::span<const Wrist> wrists) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (time_ns > kLargestTime_ns || time_ns < -kLargestTime_ns) {
    throw OutOfRange("time " + std::to_string(time_ns) + " is not a time in nanoseconds");
  }
  if (newest_ns_ != kLongAgo && time_ns < newest_ns_ - options_.max_delay_ns) {
    throw OutOfRange("time " + std::to_string(time_ns) + " ns lies " +
                     std::to_string(newest_ns_ / 1'000'000 - time_ns / 1'000'000) +
                     " ms before the newest observation, further back than max_delay_ms = " +
                     std::to_string(options_.max_delay_ns / 1'000'000));
  }
  process();
  // The newest state that is not after the time asked.
  std::size_t next = entries_.size();
  while (next > 0 && entries_[next - 1].after.time_ns > time_ns) --next;
  const State& state = next == 0 ? base_ : entries_[next - 1].after;
  if (state.time_ns == kLongAgo || state.time_ns > time_ns) return {};
  return report(state, time_ns, wrists, options_);
}

Stats BallTracker::stats() {
  const std::lock_guard<std::mutex> lock(mutex_);
  process();
  const State& state = entries_.empty() ? base_ : entries_.back().after;
  Stats out = stats_;
  out.steps = state.counters;
  out.sigma_px = std::sqrt(state.senses.pooled_px2.value);
  out.seen_share = state.senses.seen.value;
  out.clutter = state.senses.clutter.value;
  return out;
}

}  // namespace tipoff::ball
