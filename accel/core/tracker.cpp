#include "tracker.hpp"

#include <algorithm>

#include "advance.hpp"
#include "motion.hpp"
#include "report.hpp"

namespace tipoff {
namespace {

// Times beyond this leave no room for differences, ns (about 146 years either way).
constexpr std::int64_t kLargestTime_ns = INT64_MAX / 2;
// Pixels beyond this many frame sizes are no measurement.
constexpr double kAbsurd = 4.0;

bool before(const FramePtr& a, const FramePtr& b) {
  return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->camera < b->camera;
}

bool usable(float u, float v, float confidence, const Camera& camera) {
  if (!std::isfinite(u) || !std::isfinite(v) || !std::isfinite(confidence)) return false;
  if (!(confidence > 0.0F)) return false;
  return std::fabs(u) <= kAbsurd * (camera.width + 1.0) &&
         std::fabs(v) <= kAbsurd * (camera.height + 1.0);
}

void check(const Rig& rig, const TrackerOptions& options) {
  if (rig.cameras.empty() || rig.cameras.size() > static_cast<std::size_t>(kMaxCameras)) {
    throw std::invalid_argument("a tracker needs 1 to 64 cameras, got " +
                                std::to_string(rig.cameras.size()));
  }
  const int joints = options.skeleton.joints;
  if (joints < 1 || joints > kMaxJoints) {
    throw std::invalid_argument("a skeleton needs 1 to 64 joints, got " + std::to_string(joints));
  }
  if (options.max_delay_ns < 0 || options.max_coast_ns < 0 || options.max_lost_ns < 0) {
    throw std::invalid_argument("delays must not be negative");
  }
  if (!(options.max_std_m > 0.0) || !(options.sigma_px > 0.0)) {
    throw std::invalid_argument("max_std_m and sigma_px must be positive");
  }
  if (options.skeleton.trunk.empty()) {
    throw std::invalid_argument("a skeleton needs at least one trunk joint");
  }
}

// Linear between two posteriors of one track; times outside the two are not asked for.
void interpolate(const Track& from, double share, Track& to) {
  for (std::size_t j = 0; j < to.joints.size(); ++j) {
    const JointFilter& a = from.joints[j].filter;
    JointFilter& b = to.joints[j].filter;
    b.p = (1.0 - share) * a.p + share * b.p;
    b.v = (1.0 - share) * a.v + share * b.v;
    b.pp = (1.0 - share) * a.pp + share * b.pp;
    b.vv = (1.0 - share) * a.vv + share * b.vv;
    for (std::size_t i = 0; i < 9; ++i) b.pv.m[i] = (1.0 - share) * a.pv.m[i] + share * b.pv.m[i];
  }
}

const Track* find(const std::vector<Track>& tracks, std::int64_t id) {
  for (const Track& track : tracks) {
    if (track.id == id) return &track;
  }
  return nullptr;
}

}  // namespace

Tracker::Tracker(Rig rig, TrackerOptions options)
    : rig_(std::move(rig)), options_(std::move(options)) {
  check(rig_, options_);
  base_.noise = NoiseModel(options_.sigma_px);
  base_.last_frame_ns.fill(kNever);
  base_.health = HealthMonitor(rig_.cameras.size());
}

bool Tracker::observe(const Observation& observation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  FramePtr frame = make_frame(observation);
  if (newest_ns_ != kNever && frame->time_ns < newest_ns_ - options_.max_delay_ns) {
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

FramePtr Tracker::make_frame(const Observation& o) {
  if (o.camera < 0 || o.camera >= static_cast<int>(rig_.cameras.size())) {
    throw std::invalid_argument("camera " + std::to_string(o.camera) + " is not in the rig of " +
                                std::to_string(rig_.cameras.size()));
  }
  if (o.joints != options_.skeleton.joints) {
    throw std::invalid_argument("the keypoints have " + std::to_string(o.joints) +
                                " joints, the skeleton " +
                                std::to_string(options_.skeleton.joints));
  }
  if (o.time_ns > kLargestTime_ns || o.time_ns < -kLargestTime_ns) {
    throw std::invalid_argument("capture_time_ns " + std::to_string(o.time_ns) +
                                " is not a time in nanoseconds");
  }
  const Camera& camera = rig_.cameras[static_cast<std::size_t>(o.camera)];
  auto frame = std::make_shared<Frame>();
  frame->camera = o.camera;
  frame->time_ns = o.time_ns;
  frame->rows = o.rows;
  frame->joints = o.joints;
  frame->roster = o.evidence != nullptr ? o.roster : 0;

  struct Row {
    int source;
    double weight;
  };
  std::vector<Row> rows;
  const auto stride = static_cast<std::size_t>(o.joints) * 3;
  for (int n = 0; n < o.rows; ++n) {
    const float* row = o.keypoints + static_cast<std::size_t>(n) * stride;
    double weight = 0.0;
    for (std::size_t j = 0; j < stride; j += 3) {
      if (usable(row[j], row[j + 1], row[j + 2], camera)) {
        weight += std::min(static_cast<double>(row[j + 2]), 1.0);
      } else {
        ++stats_.missing_keypoints;
      }
    }
    if (weight > 0.0) rows.push_back({n, weight});
  }
  if (rows.size() > static_cast<std::size_t>(kMaxDetections)) {
    std::stable_sort(rows.begin(), rows.end(),
                     [](const Row& a, const Row& b) { return a.weight > b.weight; });
    stats_.dropped_detections += static_cast<std::int64_t>(rows.size()) - kMaxDetections;
    rows.resize(static_cast<std::size_t>(kMaxDetections));
    std::sort(rows.begin(), rows.end(),
              [](const Row& a, const Row& b) { return a.source < b.source; });
  }
  for (const Row& row : rows) {
    Detection d;
    d.source = row.source;
    d.x0 = d.y0 = 1e30;
    d.x1 = d.y1 = -1e30;
    const float* values = o.keypoints + static_cast<std::size_t>(row.source) * stride;
    for (std::size_t j = 0; j < stride; j += 3) {
      Keypoint keypoint;
      if (usable(values[j], values[j + 1], values[j + 2], camera)) {
        keypoint.uv = {static_cast<double>(values[j]), static_cast<double>(values[j + 1])};
        keypoint.confidence = std::min(static_cast<double>(values[j + 2]), 1.0);
        ++d.present;
        d.x0 = std::min(d.x0, keypoint.uv.x);
        d.y0 = std::min(d.y0, keypoint.uv.y);
        d.x1 = std::max(d.x1, keypoint.uv.x);
        d.y1 = std::max(d.y1, keypoint.uv.y);
      }
      frame->keypoints.push_back(keypoint);
    }
    if (frame->roster > 0) {
      const float* first = o.evidence + static_cast<std::size_t>(row.source) *
                                            static_cast<std::size_t>(frame->roster);
      frame->evidence.insert(frame->evidence.end(), first, first + frame->roster);
    }
    frame->detections.push_back(d);
  }
  return frame;
}

void Tracker::insert(FramePtr frame) {
  newest_ns_ = std::max(newest_ns_, frame->time_ns);
  const auto place = std::lower_bound(frames_.begin(), frames_.end(), frame, before);
  const auto index = static_cast<std::size_t>(place - frames_.begin());
  // Groups that this frame belongs to, comes before, or could have joined are worked again.
  while (!entries_.empty()) {
    const Entry& last = entries_.back();
    const std::size_t begin = worked_ - last.frames;
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
  return entry == 0 ? base_ : entries_[entry - 1].after;
}

void Tracker::process() {
  while (worked_ < frames_.size()) {
    const std::size_t end = group_end(worked_);
    Entry entry;
    entry.frames = end - worked_;
    entry.after = state_before(entries_.size());
    const std::vector<FramePtr> group(frames_.begin() + static_cast<std::ptrdiff_t>(worked_),
                                      frames_.begin() + static_cast<std::ptrdiff_t>(end));
    advance(entry.after, rig_, options_, group, entry.assigned);
    entries_.push_back(std::move(entry));
    worked_ = end;
  }
  forget();
}

void Tracker::forget() {
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

void Tracker::require_kept(std::int64_t time_ns) const {
  if (newest_ns_ != kNever && time_ns < newest_ns_ - options_.max_delay_ns) {
    throw TimeOutOfRange("time " + std::to_string(time_ns) + " ns lies " +
                         std::to_string((newest_ns_ - time_ns) / 1'000'000) +
                         " ms before the newest observation, further back than max_delay_ms = " +
                         std::to_string(options_.max_delay_ns / 1'000'000));
  }
}

std::vector<Track> Tracker::tracks_at(std::int64_t time_ns, const State** base) {
  process();
  std::vector<Track> tracks;
  *base = nullptr;
  if (entries_.empty()) return tracks;
  // The first group whose state is not before the time asked, if any.
  std::size_t next = entries_.size();
  while (next > 0 && entries_[next - 1].after.time_ns >= time_ns) --next;
  const bool ahead = next == entries_.size();
  const State& state = ahead ? entries_.back().after : entries_[next].after;
  *base = &state;
  const State* past = ahead || next == 0 ? nullptr : &entries_[next - 1].after;
  const double wanted = 1e-9 * static_cast<double>(time_ns - state.time_ns);
  for (const Track& track : state.tracks) {
    if (!track.confirmed() || time_ns - track.seen_ns > options_.max_coast_ns) continue;
    Track copy = track;
    if (ahead) {
      move_track(copy, options_.skeleton, wanted);
      apply_habits(copy, options_.skeleton, time_ns, wanted);
    } else if (time_ns < state.time_ns) {
      const Track* old = past == nullptr ? nullptr : find(past->tracks, track.id);
      if (old == nullptr) continue;
      const double span = static_cast<double>(state.time_ns - past->time_ns);
      interpolate(*old, static_cast<double>(time_ns - past->time_ns) / span, copy);
    }
    tracks.push_back(std::move(copy));
  }
  std::sort(tracks.begin(), tracks.end(),
            [](const Track& a, const Track& b) { return a.id < b.id; });
  return tracks;
}

Snapshot Tracker::snapshot(std::int64_t time_ns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  require_kept(time_ns);
  const State* base = nullptr;
  const std::vector<Track> tracks = tracks_at(time_ns, &base);
  Snapshot out;
  out.time_ns = time_ns;
  out.joints = options_.skeleton.joints;
  for (const Track& track : tracks) {
    report_track(track, *base, options_, rig_.cameras.size(), out);
  }
  return out;
}

Prediction Tracker::predict(int camera, std::int64_t time_ns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (camera < 0 || camera >= static_cast<int>(rig_.cameras.size())) {
    throw std::invalid_argument("camera " + std::to_string(camera) + " is not in the rig of " +
                                std::to_string(rig_.cameras.size()));
  }
  require_kept(time_ns);
  const State* base = nullptr;
  const std::vector<Track> tracks = tracks_at(time_ns, &base);
  return predict_tracks(tracks, options_, rig_.cameras[static_cast<std::size_t>(camera)]);
}

std::vector<std::int64_t> Tracker::assigned(int camera, std::int64_t time_ns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  process();
  for (const Entry& entry : entries_) {
    for (const Assigned& frame : entry.assigned) {
      if (frame.frame->camera != camera || frame.frame->time_ns != time_ns) continue;
      std::vector<std::int64_t> ids(frame.keys.size(), -1);
      for (std::size_t n = 0; n < ids.size(); ++n) {
        for (const Track& track : entry.after.tracks) {
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
  out.steps = entries_.empty() ? base_.counters : entries_.back().after.counters;
  return out;
}

std::vector<CameraHealth> Tracker::health() {
  const std::lock_guard<std::mutex> lock(mutex_);
  process();
  return (entries_.empty() ? base_ : entries_.back().after).health.report(rig_);
}

std::int64_t Tracker::newest_ns() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return newest_ns_;
}

}  // namespace tipoff
