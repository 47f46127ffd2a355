// A tracker as bytes and back. Kept are the state before the oldest group that may still change and
// the frames after it: the rest follows from them, bit for bit.
#include <algorithm>
#include <array>

#include "archive.hpp"
#include "observation.hpp"
#include "sealed.hpp"
#include "tracker.hpp"

namespace tipoff {
namespace {

constexpr std::array<char, 8> kMagic{'T', 'I', 'P', 'O', 'F', 'F', 'C', 'K'};
constexpr std::uint32_t kVersion = 5;
const Seal kSeal{kMagic, kVersion, "a tracker"};
// Bounds of what a sound checkpoint can hold.
constexpr std::int64_t kTimeBound = std::int64_t{1} << 62;
constexpr std::int64_t kCountBound = std::int64_t{1} << 60;
constexpr int kMaxRows = 1 << 24;
constexpr int kMaxRoster = 1 << 16;

template <class Archive>
void archive_options(Archive& a, TrackerOptions& o) {
  SkeletonSpec& s = o.skeleton;
  a(s.joints);
  std::vector<int> limbs;
  for (const auto& [from, to] : s.limbs) {
    limbs.push_back(from);
    limbs.push_back(to);
  }
  a(limbs, s.mirror, s.trunk, s.parents);
  if constexpr (Archive::kReading) {
    s.limbs.clear();
    for (std::size_t i = 0; i + 1 < limbs.size(); i += 2) {
      s.limbs.emplace_back(limbs[i], limbs[i + 1]);
    }
  }
  a(o.max_delay_ns, o.max_coast_ns, o.max_lost_ns, o.max_std_m, o.sigma_px, o.certain_views,
    o.lag_ns, o.isa, o.label);
}

void require(bool holds, const char* what) {
  if (!holds) throw BadArchive(std::string(what) + " cannot be");
}

bool is_time(std::int64_t t) {
  return t == kNever || (t < kTimeBound && t > -kTimeBound);
}

template <class Archive, class T>
void archive_lanes(Archive& a, Rows<T>& lanes, std::size_t count) {
  if constexpr (Archive::kReading) {
    require(a.left() >= lanes.rows() * count * sizeof(T), "a length");
    lanes.clear(count);
  }
  for (std::size_t r = 0; r < lanes.rows(); ++r) {
    for (std::size_t i = 0; i < count; ++i) a(lanes.at(r, i));
  }
}

template <class Archive>
void archive_detection(Archive& a, Detection& d) {
  a(d.source, d.present, d.x0, d.y0, d.x1, d.y1, d.size_px);
}

template <class Archive>
void archive_frame(Archive& a, Frame& f, const Setup& setup) {
  std::uint64_t detections = f.detections.size();
  a(f.camera, f.time_ns, f.rows, f.roster, f.searched, f.asked, detections);
  if constexpr (Archive::kReading) {
    f.joints = static_cast<int>(setup.joints);
    require(f.camera >= 0 && f.camera < static_cast<int>(setup.rig.cameras.size()), "a camera");
    require(f.time_ns < kTimeBound && f.time_ns > -kTimeBound, "a time");
    require(f.rows >= 0 && f.rows <= kMaxRows && f.roster >= 0 && f.roster <= kMaxRoster,
            "a number of rows");
    require(detections <= static_cast<std::uint64_t>(kMaxDetections), "a number of detections");
    f.detections.resize(static_cast<std::size_t>(detections));
  }
  for (Detection& d : f.detections) {
    archive_detection(a, d);
    require(d.source >= 0 && d.source < f.rows, "a detection's row");
  }
  const std::size_t lanes = f.detections.size() * f.lanes();
  archive_lanes(a, f.keypoints, lanes);
  a(f.evidence);
  if constexpr (Archive::kReading) take_boxes(f);
  require(f.evidence.size() == f.detections.size() * static_cast<std::size_t>(f.roster),
          "a number of evidences");
}

// Frames by their place in a list, each written once.
struct FrameList {
  std::vector<FramePtr> frames;

  std::uint32_t place(const FramePtr& frame) {
    const auto found = std::find(frames.begin(), frames.end(), frame);
    const auto at = static_cast<std::uint32_t>(found - frames.begin());
    if (found == frames.end()) frames.push_back(frame);
    return at;
  }

  const FramePtr& at(std::uint32_t place) const {
    require(place < frames.size(), "a frame");
    return frames[place];
  }
};

template <class Archive>
void archive_state(Archive& a, State& s, FrameList& list, const Setup& setup) {
  a(s.time_ns, s.resumed_ns, s.next_id, s.next_key, s.steps, s.noise, s.liveliness, s.tracks);
  require(s.tracks.size() <= static_cast<std::size_t>(kMaxTracks), "a number of tracks");
  archive_lanes(a, s.joints, s.tracks.size() * setup.joints);
  a(s.supports);
  require(s.supports.size() == padded(s.tracks.size() * setup.joints), "a number of joints");
  archive_lanes(a, s.limbs, s.tracks.size() * setup.limbs);
  std::uint64_t leftovers = s.leftovers.size();
  a(leftovers);
  if constexpr (Archive::kReading) {
    require(leftovers <= static_cast<std::uint64_t>(kMaxCameras) * kMaxDetections,
            "a number of leftovers");
    s.leftovers.resize(static_cast<std::size_t>(leftovers));
  }
  for (Leftover& leftover : s.leftovers) {
    std::uint32_t place = 0;
    std::uint64_t detection = leftover.detection;
    if constexpr (!Archive::kReading) place = list.place(leftover.frame);
    a(place, detection);
    if constexpr (Archive::kReading) {
      leftover.frame = list.at(place);
      leftover.detection = static_cast<std::size_t>(detection);
      require(detection < leftover.frame->detections.size(), "a leftover");
    }
  }
  a(s.last_frame_ns, s.interval_ns, s.last_search_ns, s.counters, s.health);
}

void check(const State& s) {
  require(is_time(s.time_ns) && is_time(s.resumed_ns), "a time");
  require(s.next_id > 0 && s.next_id < kCountBound && s.next_key > 0 && s.next_key < kCountBound &&
              s.steps >= 0 && s.steps < kCountBound,
          "a number");
  std::int64_t key = 0;
  for (const Track& track : s.tracks) {
    require(track.key > key && track.id >= -1 && track.id != 0 && track.id < s.next_id,
            "an identity");
    key = track.key;
    for (const Track& other : s.tracks) {
      require(&other == &track || other.id != track.id || !track.confirmed(), "an identity");
    }
    require(is_time(track.born_ns) && is_time(track.seen_ns) && is_time(track.paired_ns) &&
                is_time(track.left_ns),
            "a time");
    require(track.left_variance >= 0.0, "a variance");
  }
  require(key < s.next_key, "an identity");
  for (const std::int64_t t : s.last_frame_ns) require(is_time(t), "a time");
  for (const std::int64_t t : s.last_search_ns) require(is_time(t), "a time");
  for (const std::int64_t t : s.interval_ns)
    require(t >= 0 && t <= kLongestInterval_ns, "an interval");
  require(s.health.sound(), "a camera's health");
  const Counters& c = s.counters;
  for (const std::int64_t n :
       {c.births, c.deaths, c.assigned, c.unassigned, c.flipped, c.restarted}) {
    require(n < kCountBound && n > -kCountBound, "a count");
  }
}

template <class Archive>
void archive_stats(Archive& a, TrackerStats& s) {
  a(s.accepted, s.refused_late, s.refused_twice, s.held_ahead, s.dropped_detections,
    s.missing_keypoints, s.replayed);
  for (const std::int64_t n : {s.accepted, s.refused_late, s.refused_twice, s.held_ahead,
                               s.dropped_detections, s.missing_keypoints, s.replayed}) {
    require(n >= 0 && n < kCountBound, "a count");
  }
}

}  // namespace

std::vector<std::uint8_t> Tracker::checkpoint() {
  const std::lock_guard<std::mutex> lock(mutex_);
  process();
  // The order of writing is that of reading: frames, then the state that refers to them.
  FrameList list;
  for (const FramePtr& frame : frames_) list.place(frame);
  for (const Ahead& waiting : ahead_) {
    if (waiting.frame != nullptr) list.place(waiting.frame);
  }
  for (const Leftover& leftover : base_.leftovers) list.place(leftover.frame);

  Writer w = begin_sealed(kSeal, setup_.rig);
  TrackerOptions options = setup_.options;
  archive_options(w, options);
  std::uint64_t frames = list.frames.size();
  w(frames);
  for (const FramePtr& frame : list.frames) {
    Frame copy = *frame;
    archive_frame(w, copy, setup_);
  }
  archive_state(w, base_, list, setup_);
  std::uint64_t kept = frames_.size();
  w(newest_ns_, kept);
  for (const Ahead& waiting : ahead_) {
    std::uint8_t there = waiting.frame != nullptr ? 1 : 0;
    std::uint8_t alone = waiting.alone ? 1 : 0;
    std::uint32_t place = there != 0 ? list.place(waiting.frame) : 0;
    w(there, alone, place);
  }
  // How often groups were worked again depends on when somebody asked in between, not on what was
  // observed: two trackers that know the same give the same bytes.
  TrackerStats counted = stats_;
  counted.replayed = 0;
  archive_stats(w, counted);
  return end_sealed(std::move(w));
}

std::unique_ptr<Tracker> Tracker::restore(Rig rig, const std::uint8_t* bytes, std::size_t size) {
  return read_sealed(kSeal, rig, bytes, size, [&](Reader& r) {
    TrackerOptions options;
    archive_options(r, options);
    if (kernels_of(options.isa) == nullptr) {
      throw BadCheckpoint("the checkpoint asks for isa \"" + options.isa +
                          "\", which this processor does not have; continue on one that has");
    }
    auto tracker = std::make_unique<Tracker>(std::move(rig), std::move(options));
    Tracker& t = *tracker;
    FrameList list;
    std::uint64_t frames = 0;
    r(frames);
    require(frames <= r.left(), "a number of frames");
    for (std::uint64_t i = 0; i < frames; ++i) {
      auto frame = std::make_shared<Frame>();
      archive_frame(r, *frame, t.setup_);
      list.frames.push_back(std::move(frame));
    }
    archive_state(r, t.base_, list, t.setup_);
    check(t.base_);
    std::uint64_t kept = 0;
    r(t.newest_ns_, kept);
    require(is_time(t.newest_ns_) && kept <= frames, "a number of frames");
    for (std::uint64_t i = 0; i < kept; ++i) {
      const FramePtr& frame = list.frames[static_cast<std::size_t>(i)];
      const bool ascends =
          t.frames_.empty() || t.frames_.back()->time_ns < frame->time_ns ||
          (t.frames_.back()->time_ns == frame->time_ns && t.frames_.back()->camera < frame->camera);
      require(ascends && frame->time_ns <= t.newest_ns_ && frame->time_ns >= t.base_.time_ns,
              "an order of frames");
      t.frames_.push_back(frame);
    }
    for (Ahead& waiting : t.ahead_) {
      std::uint8_t there = 0;
      std::uint8_t alone = 0;
      std::uint32_t place = 0;
      r(there, alone, place);
      if (there != 0) waiting = {list.at(place), alone != 0};
    }
    archive_stats(r, t.stats_);
    t.process();
    return tracker;
  });
}

}  // namespace tipoff
