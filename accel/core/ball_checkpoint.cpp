// A ball tracker as bytes and back. Kept are the state before the oldest group that may still
// change and the frames after it: the rest follows from them, bit for bit. No kernel is chosen at
// run time for the ball, so there is no instruction set to keep.
#include <cmath>
#include <type_traits>

#include "ball.hpp"
#include "sealed.hpp"

namespace tipoff::ball {
namespace {

const Seal kSeal{{'T', 'I', 'P', 'O', 'F', 'F', 'B', 'L'}, 1, "a ball tracker"};
// Bounds of what a sound checkpoint can hold.
constexpr std::int64_t kTimeBound = std::int64_t{1} << 62;
constexpr std::int64_t kCountBound = std::int64_t{1} << 60;
constexpr int kMostGroups = 1 << 30;

void require(bool holds, const char* what) {
  if (!holds) throw BadArchive(std::string(what) + " cannot be");
}

bool is_time(std::int64_t t) {
  return t == kLongAgo || (t < kTimeBound && t > -kTimeBound);
}

bool is_count(std::int64_t n) {
  return n >= 0 && n < kCountBound;
}

// Visits every member: whether all numbers are finite.
struct Finite {
  bool holds = true;

  template <class... T>
  void operator()(T&... members) {
    (visit(members), ...);
  }

  template <class T>
  void visit(T& member) {
    if constexpr (std::is_floating_point_v<T>) {
      holds = holds && std::isfinite(member);
    } else if constexpr (requires { member.archive(*this); }) {
      member.archive(*this);
    } else if constexpr (!std::is_arithmetic_v<T>) {
      for (auto& element : member) visit(element);
    }
  }
};

template <class T>
void require_finite(T& value) {
  Finite finite;
  finite.visit(value);
  require(finite.holds, "a number");
}

void check(Frame& frame, const Rig& rig) {
  require(frame.camera >= 0 && frame.camera < static_cast<int>(rig.cameras.size()), "a camera");
  require(frame.time_ns < kTimeBound && frame.time_ns > -kTimeBound, "a time");
  require(frame.candidates.size() <= kMostCandidates &&
              frame.rows == static_cast<int>(frame.candidates.size()),
          "a number of candidates");
  for (Candidate& candidate : frame.candidates) require_finite(candidate);
}

void check(Track& track) {
  require_finite(track);
  require(track.groups >= 0 && track.groups < kMostGroups && track.views >= 0 &&
              track.views <= kMostCameras,
          "a count");
  require(is_time(track.born_ns) && is_time(track.seen_ns) && is_time(track.paired_ns), "a time");
  require(track.fixes.size() <= kMostFixes && track.bounces.size() <= kMostBounces, "a length");
  for (const Fix& fix : track.fixes) {
    require(is_time(fix.time_ns) && fix.views >= 0 && fix.views <= kMostCameras, "a fix");
  }
  for (const Bounce& bounce : track.bounces) {
    require(is_time(bounce.time_ns) && bounce.after >= 0 && bounce.after < kMostGroups, "a bounce");
  }
}

void check(State& state) {
  require(is_time(state.time_ns), "a time");
  require(state.next_key > 0 && state.next_key < kCountBound, "a number");
  require(state.tracks.size() <= kMostTracks, "a number of tracks");
  require_finite(state.senses);
  for (Track& track : state.tracks) {
    check(track);
    require(track.key > 0 && track.key < state.next_key, "a track");
    for (const Track& other : state.tracks) {
      require(&other == &track || other.key != track.key, "a track");
    }
  }
  require(state.chosen >= 0 && state.chosen < state.next_key, "a track");
  const Counters& c = state.counters;
  for (const std::int64_t n :
       {c.births, c.deaths, c.used, c.unused, c.searched, c.bounces, c.switched}) {
    require(is_count(n), "a count");
  }
}

void check(const Stats& s) {
  for (const std::int64_t n : {s.accepted, s.refused_late, s.refused_twice, s.unusable_candidates,
                               s.dropped_candidates, s.replayed}) {
    require(is_count(n), "a count");
  }
}

}  // namespace

std::vector<std::uint8_t> BallTracker::checkpoint() {
  const std::lock_guard<std::mutex> lock(mutex_);
  process();
  Writer w = begin_sealed(kSeal, rig_);
  Options options = options_;
  std::uint64_t frames = frames_.size();
  w(options, base_, newest_ns_, frames);
  for (const FramePtr& frame : frames_) {
    Frame copy = *frame;
    w(copy);
  }
  w(stats_);
  return end_sealed(std::move(w));
}

std::unique_ptr<BallTracker> BallTracker::restore(Rig rig, const std::uint8_t* bytes,
                                                  std::size_t size) {
  return read_sealed(kSeal, rig, bytes, size, [&](Reader& r) {
    Options options;
    r(options);
    auto tracker = std::make_unique<BallTracker>(std::move(rig), std::move(options));
    BallTracker& t = *tracker;
    std::uint64_t frames = 0;
    r(t.base_, t.newest_ns_, frames);
    check(t.base_);
    require(is_time(t.newest_ns_) && frames <= r.left(), "a number of frames");
    for (std::uint64_t i = 0; i < frames; ++i) {
      auto frame = std::make_shared<Frame>();
      r(*frame);
      check(*frame, t.rig_);
      const bool ascends =
          t.frames_.empty() || t.frames_.back()->time_ns < frame->time_ns ||
          (t.frames_.back()->time_ns == frame->time_ns && t.frames_.back()->camera < frame->camera);
      require(ascends && frame->time_ns <= t.newest_ns_ && frame->time_ns >= t.base_.time_ns,
              "an order of frames");
      t.frames_.push_back(std::move(frame));
    }
    r(t.stats_);
    check(t.stats_);
    t.process();
    return tracker;
  });
}

}  // namespace tipoff::ball
